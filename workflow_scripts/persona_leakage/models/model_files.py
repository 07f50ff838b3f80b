"""Which files of a model folder count: those that transformers would read, by name."""

import json
from fnmatch import fnmatch
from pathlib import Path

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json

SUFFIXES = {".json", ".safetensors", ".jinja", ".model", ".txt"}
ADAPTER_FILES = "adapter_*"
READ = (
    "*.safetensors", "*.index.json", "*.jinja", "*.model", ADAPTER_FILES, "config.json", "generation_config.json", "tokenizer*.json",
    "special_tokens_map.json", "added_tokens.json", "chat_template.json", "vocab.json", "merges.txt",
)  # fmt: skip


def model_files(folder):
    """Paths of the files of a model folder that describe the model, sorted; not its model.json, which is the workflow's."""
    return [path for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES and path.name != "model.json"]


def check_model_folder(folder, key):
    """InputError, naming the config ``key``, unless a model folder has config.json, safetensors weights and no code of its own."""
    folder = Path(folder)
    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        found = sorted(path.name for path in folder.glob("*.bin"))
        others = f"; {', '.join(found)} can run code when read and is not used, save the model as safetensors" if found else ""
        raise InputError(f"{key}: '{folder}' must be a folder with config.json and *.safetensors{others}")
    refuse_more_templates(folder)
    for path in (folder / "config.json", folder / "tokenizer_config.json"):
        if path.is_file() and "auto_map" in read_json(path):
            raise InputError(f"{key}: {path} asks for code of the model's own (auto_map), which is never run; use a model without")
    if not isinstance(read_json(folder / "config.json").get("model_type"), str):
        raise InputError(f"{folder}: config.json has no model_type, so transformers cannot tell what model it is; copy the model again")


def refuse_more_templates(folder):
    """InputError if the folder has further chat templates, of which transformers takes one in the place of the model's own."""
    if (more := folder / "additional_chat_templates").is_dir():
        raise InputError(f"{more}: its templates would take the place of the model's own; move it out of the model's folder")


def check_nothing_new(folder, known, manifest_path):
    """InputError if the folder has a file that transformers would read and that is not among the names ``known``.

    An adapter, another form of the weights or a chat template that came later would be used without a word.
    """
    new = [path.name for path in model_files(folder) if path.name not in known and any(fnmatch(path.name, each) for each in READ)]
    if new:
        raise InputError(
            f"{folder / new[0]}: is new since {manifest_path} was written, and would change the model; move it out of the folder,"
            f" or delete {manifest_path} if it belongs to the model"
        )


INDEX = "model.safetensors.index.json"


def check_weights_whole(folder):
    """InputError if a weight file is shorter or longer than its own header says, or if the index lists one that is not there."""
    for path in sorted({*folder.glob("*.safetensors"), *listed_files(folder)}):
        if not path.is_file():
            raise InputError(f"{path}: no such file, but {INDEX} lists it; copy the model again")
        size = size_by_header(path)
        if size != path.stat().st_size:
            raise InputError(
                f"{path}: not a whole safetensors file ({path.stat().st_size} bytes of {size or 'unknown'}); copy the model again"
            )


def listed_files(folder):
    """Paths of the weight files that the index of a folder lists, if there is one; InputError if it is not one of this folder."""
    path = folder / INDEX
    if not path.is_file() or (folder / "model.safetensors").is_file():  # which transformers prefers
        return []
    content = read_json(path)
    names = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(names, dict) or not names or "metadata" not in content:
        raise InputError(f"{path}: must have metadata and a weight_map; save the model again with save_pretrained")
    if elsewhere := sorted(name for name in set(names.values()) if Path(name).name != name):
        raise InputError(f"{path}: lists {elsewhere[0]}, which is not in the folder itself; put all weight files in the same folder")
    return [folder / name for name in set(names.values())]


def size_by_header(path):
    """Bytes that a safetensors file has by its own header, or None if it has no header."""
    with path.open("rb") as content:
        length = int.from_bytes(content.read(8), "little")
        try:
            header = json.loads(content.read(length))
            return 8 + length + max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
        except (ValueError, TypeError, KeyError, AttributeError, MemoryError, OverflowError):
            return None
