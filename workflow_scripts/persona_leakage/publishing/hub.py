"""An adapter as a model repository on the Hugging Face hub, in one commit, unless the repository has it already."""

import hashlib
import os
from io import BytesIO

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.publishing.common import in_a_line


def publish_files(repository, files, private, token, message):
    """Make a model repository hold ``files``, creating it if need be; what else is in it stays as it is.

    repository: owner/name; files: {name in the repository: bytes, or a Path}; private: whether a new repository is private, and
    an existing one must be. Returns {"commit", "url", "written": names of the files that the repository did not have}.
    InputError if the hub cannot be reached or refuses; a new repository may then be there, empty, and running again goes on.
    """
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError

    api = HfApi(token=token)
    try:
        info = find_or_create(api, repository, private)
        if private and not info.private:
            raise InputError(
                f"publishing.hub.private: true, but {repository} exists and is public; make it private on the hub, or set false"
            )
        written = [name for name, content in files.items() if not holds(info, name, content)]
        commit = info.sha
        if written:
            operations = [CommitOperationAdd(name, files[name]) for name in written]
            commit = api.create_commit(repository, operations, commit_message=message, parent_commit=info.sha).oid
    except HFValidationError as error:
        raise InputError(f"publishing.hub: '{repository}' cannot be the name of a repository ({error})") from None
    except (HfHubHTTPError, HTTPError, OSError, RuntimeError) as error:
        raise InputError(
            f"publishing {repository} to the hub failed; nothing here is lost, running again goes on ({in_a_line(error)})"
        ) from None
    return {"commit": commit, "url": f"{api.endpoint}/{repository}", "written": written}


def find_or_create(api, repository, private):
    """What the hub says of a repository, its files' digests included."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return api.model_info(repository, files_metadata=True)
    except RepositoryNotFoundError:
        api.create_repo(repository, private=private)
        return api.model_info(repository, files_metadata=True)


def holds(info, name, content):
    """Whether the repository has a file of that name and content: by its SHA-256 if it is stored apart (LFS), else as a git blob."""
    for file in info.siblings:
        if file.rfilename == name:
            return file.lfs.sha256 == digest(content, hashlib.sha256()) if file.lfs else file.blob_id == git_blob(content)
    return False


def git_blob(content):
    """The id that git gives a file's content."""
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    return digest(content, hashlib.sha1(f"blob {size}\0".encode()))


def digests(files):
    """{name: {"sha256"}} of the files of :func:`publish_files`, as a receipt has them."""
    return {name: {"sha256": digest(content, hashlib.sha256())} for name, content in files.items()}


def digest(content, hasher):
    """Hex digest of ``content`` (bytes, or a Path's) put into a hasher."""
    with BytesIO(content) if isinstance(content, bytes) else content.open("rb") as stream:
        while block := stream.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()
