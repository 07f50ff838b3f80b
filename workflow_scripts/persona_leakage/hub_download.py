"""Model files from the Hugging Face hub: of a pinned commit, the weights once, and from the user's own cache where that has them."""

import os
import shutil
from pathlib import Path

from persona_leakage.errors import InputError
from persona_leakage.files import read_json

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
SMALL_FILES = {".json", ".jinja", ".model", ".txt"}


def download_from_hub(model, folder):
    """Put the files of a pinned hub repository into ``folder``, which may hold part of them from a try before.

    They come from the hub's cache on this machine if that has the commit with all its weights, else from the network. InputError
    with the way out if they can be had from neither.
    """
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    if snapshot := cached_snapshot(model):
        for name in wanted_files(names_in(snapshot), snapshot.joinpath):
            put(snapshot / name, folder / name)
        return
    try:
        download(model, folder)
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise InputError(
            f"model.location: cannot download {model['location']} at revision {model['revision']} from the hub, and its cache on this"
            f" machine has not all of it ({type(error).__name__}: {str(error).splitlines()[0]}).\n"
            "  On a machine with network: check the name and revision, and for a gated model set HF_TOKEN.\n"
            "  For an offline machine: on one with network, `hf download` of that revision into a folder; copy the folder here and set\n"
            "  model.source: path and model.location: that folder."
        ) from None


def download(model, folder):
    """Download the wanted files of a commit, and no others."""
    from glob import escape

    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    location, revision = model["location"], model["revision"]

    def one(name):
        return hf_hub_download(location, name, revision=revision, local_dir=folder)

    names = wanted_files(HfApi().list_repo_files(location, revision=revision), one)
    snapshot_download(location, revision=revision, local_dir=folder, allow_patterns=[escape(name) for name in names])


def wanted_files(names, get):
    """Those of a repository's files that are the model: at its top level what is small, and the weights that its index names.

    So not the same weights in other forms (consolidated, original/, checkpoint-*) and no adapter. get(name) gives a path of a
    file of the repository. InputError if there are no safetensors weights.
    """
    top = {name for name in names if "/" not in name and not name.startswith(("adapter_", "."))}
    small = sorted(name for name in top if Path(name).suffix in SMALL_FILES and not name.endswith(".index.json"))
    if SINGLE in top:
        return [*small, SINGLE]
    if INDEX in top:
        return [*small, INDEX, *sorted(set(read_json(get(INDEX))["weight_map"].values()))]
    others = ", ".join(sorted(name for name in top if Path(name).suffix in (".bin", ".gguf", ".safetensors", ".pt"))) or "none"
    raise InputError(f"model.location: the repository has neither {SINGLE} nor {INDEX} (weights that it has: {others})")


def cached_snapshot(model):
    """The folder of the pinned commit in the hub's cache on this machine, or None if it has not all of the model there."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(model["location"], "config.json", revision=model["revision"])
    if not isinstance(config, str):
        return None
    snapshot = Path(config).parent
    try:
        names = wanted_files(names_in(snapshot), snapshot.joinpath)
    except InputError:
        return None
    return snapshot if all((snapshot / name).is_file() for name in [*names, "tokenizer.json"]) else None


def names_in(folder):
    """Names of what lies in a folder."""
    return [path.name for path in folder.iterdir()]


def put(source, target):
    """A hard link to a file, or a copy where there can be none."""
    target.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
