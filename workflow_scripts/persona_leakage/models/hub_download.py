"""Model files from the Hugging Face hub: of a pinned commit, the weights once, and from the user's own cache where that has them."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json
from persona_leakage.models.model_files import INDEX, SINGLE

SMALL_FILES = {".json", ".jinja", ".model", ".txt"}


def download_from_hub(model, folder, look):
    """Put the files of a pinned hub repository into ``folder``, which may hold some of them from an interrupted attempt.

    Without network, the hub's cache on this machine must have all of it. look(folder): called
    before the weights are downloaded, to reject a model early. InputError with what to do if the files are unavailable.
    """
    from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled

    try:
        download(model, folder, look)
    except (HTTPError, OfflineModeIsEnabled, OSError) as error:
        try:
            copy_from_cache(model, folder)
        except (InputError, OSError):
            raise unreachable(model, error) from None


def unreachable(model, error):
    """The error of a repository that can be had neither from the hub nor from its cache."""
    return InputError(
        f"model.location: cannot download {model['location']} at revision {model['revision']} from the hub, and its cache on this"
        f" machine is incomplete ({type(error).__name__}: {str(error).splitlines()[0]}).\n"
        "  On a machine with network: check the name and revision, and for a gated model set HF_TOKEN.\n"
        "  For an offline machine: on one with network, `hf download` of that revision into a folder; copy the folder here and set\n"
        "  model.source: path and model.location: that folder."
    )


def download(model, folder, look):
    """Download the wanted files of a commit, and no others: small ones first, then the weights."""
    from huggingface_hub import HfApi, hf_hub_download

    def get(name):
        return Path(hf_hub_download(model["location"], name, revision=model["revision"], local_dir=folder))

    names = wanted_files(HfApi().list_repo_files(model["location"], revision=model["revision"]), get)
    weights = [name for name in names if name.endswith(".safetensors")]
    for name in names:
        if name not in weights:
            get(name)
    look(folder)
    for name in weights:
        get(name)


def copy_from_cache(model, folder):
    """Copy the model from the hub's cache on this machine; InputError or OSError if something of it is not there."""
    from huggingface_hub import snapshot_download

    snapshot = Path(snapshot_download(model["location"], revision=model["revision"], local_files_only=True))
    for name in wanted_files([path.name for path in snapshot.iterdir()], snapshot.joinpath):
        put(snapshot / name, folder / name)


def wanted_files(names, get):
    """Those of a repository's files that are the model: small ones at its top level, and the weights that its index names.

    get(name) gives the path of a file of the repository. InputError if there are no safetensors weights.
    """
    top = {name for name in names if "/" not in name and not name.startswith(("adapter_", "."))}
    small = sorted(name for name in top if Path(name).suffix in SMALL_FILES and not name.endswith(".index.json"))
    if SINGLE in top:
        return [*small, SINGLE]
    if INDEX in top:
        return [*small, INDEX, *sorted(set(read_json(get(INDEX))["weight_map"].values()))]
    others = ", ".join(sorted(name for name in top if Path(name).suffix in (".bin", ".gguf", ".safetensors", ".pt"))) or "none"
    raise InputError(f"model.location: the repository has neither {SINGLE} nor {INDEX} (weights that it has: {others})")


def put(source, target):
    """A copy of a file; of weights, which are never edited, a hard link where there can be one."""
    target.unlink(missing_ok=True)
    if source.suffix == ".safetensors":
        with suppress(OSError):
            os.link(source.resolve(), target)
            return
    shutil.copyfile(source, target)
