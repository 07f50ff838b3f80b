"""An adapter as a model repository on the Hugging Face hub."""

import os

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.publishing.common import refusal


def publish_files(repository, files, private, token, message):
    """Commit ``files`` ({name: bytes or path as text}) to a model repository (owner/name), created if need be: {"url", "commit"}.

    InputError if the hub cannot be reached or refuses, or if the repository is public although ``private`` is set.
    """
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import huggingface_hub

    api = huggingface_hub.HfApi(token=token)
    try:
        url = api.create_repo(repository, private=private, exist_ok=True)
        if private and not api.model_info(repository).private:
            raise InputError(f"publishing.hub.private: true, but {repository} is public; make it private on the hub, or set false")
        operations = [huggingface_hub.CommitOperationAdd(name, content) for name, content in files.items()]
        commit = api.create_commit(repository, operations, commit_message=message)
    except InputError:
        raise
    except Exception as error:
        raise refusal(f"the hub as {repository}", error) from error
    return {"url": str(url), "commit": commit.oid}
