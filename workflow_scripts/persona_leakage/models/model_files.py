"""Which files of a model folder count: those that transformers would read, by name."""

from pathlib import Path

from persona_leakage.infrastructure.cli import InputError, named_in_errors
from persona_leakage.infrastructure.files import read_json

SUFFIXES = {".json", ".safetensors", ".jinja", ".model", ".txt"}
ADAPTER_FILES = "adapter_*"
INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"


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
    for path in (folder / "config.json", folder / "tokenizer_config.json"):
        if path.is_file() and "auto_map" in read_json(path):
            raise InputError(f"{key}: {path} asks for code of the model's own (auto_map), which is never run; use a model without")
    if not isinstance(read_json(folder / "config.json").get("model_type"), str):
        raise InputError(f"{folder}: config.json has no model_type, so transformers cannot tell what model it is; copy the model again")


def check_nothing_new(folder, known, manifest_path):
    """InputError if the folder has weights, an adapter or a template that are not among the file names ``known``.

    transformers would use one that came later without a word.
    """
    later = {path.name for pattern in ("*.safetensors", "*.jinja", ADAPTER_FILES) for path in Path(folder).glob(pattern)} - {*known}
    for name in sorted(later):
        raise InputError(
            f"{folder}/{name}: is new since {manifest_path} was written, and would change the model; move it out of the folder,"
            f" or delete {manifest_path} if it belongs to the model"
        )


def weight_headers(folder):
    """[(name, number format, shape)] of the weights in the files that transformers would read; InputError if a file is not whole."""
    from safetensors import safe_open

    index, single = folder / INDEX, folder / SINGLE
    if not single.is_file() and not index.is_file():
        found = ", ".join(sorted(path.name for path in folder.glob("*.safetensors")))
        raise InputError(f"{folder}: has {found}, but neither {SINGLE} nor {INDEX}; save the model again with save_pretrained")
    headers = []
    for file in [single] if single.is_file() else [folder / name for name in sorted(set(read_json(index)["weight_map"].values()))]:
        if not file.is_file():
            raise InputError(f"{file}: no such file, but {INDEX} lists it; copy the model again")
        with named_in_errors(file, "; copy the model again"), safe_open(file, framework="np") as content:
            parts = {name: content.get_slice(name) for name in content.keys()}  # noqa: SIM118
            headers += [(name, part.get_dtype(), part.get_shape()) for name, part in parts.items()]
    return headers
