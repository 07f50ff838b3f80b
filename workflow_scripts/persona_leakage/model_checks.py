"""Checks of a config that need the model's facts. They run while Snakemake reads the workflow, once the model is there."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

from persona_leakage.behaviour import read_marker
from persona_leakage.chat import prompt_lengths
from persona_leakage.errors import InputError
from persona_leakage.files import read_json
from persona_leakage.layers import check_layers
from persona_leakage.model_sources import revision_of
from persona_leakage.positions import declared_layers


class PlainTokenizer:
    """What the checks need of a tokenizer, from its tokenizer.json alone: no transformers, no torch."""

    def __init__(self, path):
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(path))

    def __call__(self, text, add_special_tokens):
        return SimpleNamespace(input_ids=self.tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)

    def decode(self, ids):
        return self.tokenizer.decode(ids, skip_special_tokens=False)

    def convert_ids_to_tokens(self, ids):
        return [self.tokenizer.id_to_token(token) for token in ids]


def check_against_model(config, personas, manifest_path):
    """InputError if the config asks what its model cannot give: a block, a marker, an end target, a prompt's length.

    personas: the :class:`Persona` list that is used. Does nothing while the model is not there, is about to be
    fetched anew, or cannot be read with what is installed: then the first jobs make the same checks.
    """
    manifest_path = Path(manifest_path)
    if not manifest_path.is_file():
        return
    manifest = read_json(manifest_path)
    wanted = {**config["model"], "revision": revision_of(config["model"], manifest.get("digest"))}
    if any(manifest.get(key) != value for key, value in wanted.items()):
        return
    check_layers(declared_layers(config["geometry"]), manifest["blocks"])
    if config["labels"]["end_target"] != "eos" and not manifest["chat"]["after_end_ids"]:
        raise InputError(
            f"labels.end_target: this model's chat template writes nothing behind a turn; use eos, not {config['labels']['end_target']}"
        )
    tokenizer_file = Path(manifest["folder"]) / "tokenizer.json"
    if not tokenizer_file.is_file() or not importlib.util.find_spec("tokenizers"):
        return
    tokenizer = PlainTokenizer(tokenizer_file)
    read_marker(tokenizer, config["behaviour"]["marker"], config["behaviour"]["separator"])
    prompt_lengths(tokenizer, personas)
