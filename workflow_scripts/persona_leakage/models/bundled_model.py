"""The model that an installed package ships as a GGUF file, turned into safetensors weights and a tokenizer."""

import importlib.util
from pathlib import Path

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import sha256_of_file


def conversion_code():
    """The text of this module: with other code a model is converted again."""
    return Path(__file__).read_text(encoding="utf-8")


def unpack_bundled(model, home):
    """Turn the GGUF file ``location`` (package/file; ``revision``: its SHA-256) into a safetensors folder.

    transformers reads GGUF but neither saves nor trains such a model, so its dequantised float32 weights move to a clean one.
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
    convert_gguf(gguf, home)


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
    with torch.device("meta"):
        clean = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    clean.load_state_dict(loaded.state_dict(), assign=True)
    clean.save_pretrained(home)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(home)
