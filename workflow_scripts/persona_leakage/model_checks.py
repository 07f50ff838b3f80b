"""Checks of a config that need the model's facts. They run while Snakemake reads the workflow, once the model is there."""

import importlib.util
from pathlib import Path

from persona_leakage.behaviour import read_marker
from persona_leakage.chat import prompt_lengths
from persona_leakage.errors import InputError
from persona_leakage.files import read_json
from persona_leakage.layers import check_layers
from persona_leakage.model_sources import revision_of
from persona_leakage.positions import declared_layers
from persona_leakage.tokenizer_checks import PlainTokenizer, check_texts


def check_against_model(config, personas, question_sets, manifest_path):
    """InputError if the config asks what its model cannot give: a block, a marker, an end target, a prompt's length, a text.

    personas: the :class:`Persona` list that is used; question_sets: {name: questions}. Does nothing
    while the model is not there, is about to be fetched anew, or cannot be read with what is
    installed: then the first jobs make the same checks.
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
    if not (Path(manifest["folder"]) / "tokenizer.json").is_file() or not importlib.util.find_spec("tokenizers"):
        return
    tokenizer = PlainTokenizer(manifest["folder"])
    read_marker(tokenizer, config["behaviour"]["marker"], config["behaviour"]["separator"])
    prompt_lengths(tokenizer, personas)
    check_texts(tokenizer, texts_of(config, personas, question_sets), set(manifest["chat"].get("control_ids", ())))


def texts_of(config, personas, question_sets):
    """[(config key, text)] of all that a config puts in front of the model."""
    used = dict.fromkeys(use["set"] for use in [config["questions"]["training"], *config["questions"]["evaluation"]])
    questions = [(f"questions.file, set '{name}'", question) for name in used for question in question_sets[name]]
    texts = [("personas.file", persona.prompt) for persona in personas]
    suffix, marker = config["questions"]["suffix"], config["behaviour"]["marker"]
    return [*texts, *questions, ("questions.suffix", suffix), ("behaviour.marker", marker)]
