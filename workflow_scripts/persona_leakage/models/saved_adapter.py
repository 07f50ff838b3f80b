"""The two files of a trained adapter, for programs that pass it on without loading it: peft is not imported."""

from dataclasses import dataclass
from pathlib import Path

from persona_leakage.infrastructure.files import read_json

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


@dataclass(frozen=True)
class Adapter:
    """A trained adapter: the state it makes (source/seed), the folder of its two files, SHA-256 of its weights and of its config."""

    state: str
    folder: str
    sha256: str
    config_sha256: str = ""


def rank_of(adapter):
    """The rank of an adapter, as its config has it."""
    return read_json(Path(adapter.folder) / CONFIG)["r"]
