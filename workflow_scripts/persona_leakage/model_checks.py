"""Checks of a config that need the model's facts. They run while Snakemake reads the workflow, once the model is there."""

import importlib.util
from pathlib import Path

from persona_leakage.behaviour import read_marker
from persona_leakage.chat import encode, prompt_lengths
from persona_leakage.errors import InputError
from persona_leakage.files import read_json
from persona_leakage.layers import check_layers
from persona_leakage.model_sources import revision_of
from persona_leakage.positions import declared_layers
from persona_leakage.reading_checks import check_replies
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
    tokenizer, texts = PlainTokenizer(manifest["folder"]), texts_of(config, personas, question_sets)
    read_marker(tokenizer, **texts["behaviour"])
    prompt_lengths(tokenizer, personas)
    check_texts(tokenizer, texts["texts"], set(manifest["chat"].get("control_ids", ())))
    # Without the template, so at the least; the first job knows the whole prompt.
    longest = sum(max(len(encode(tokenizer, text)) for text in some) for some in (texts["prompts"].values(), texts["questions"]))
    check_replies(manifest.get("limits", {}), longest, texts)


def texts_of(config, personas, question_sets):
    """All that a config puts in front of the model, as reading_checks.check_reading takes it. Arguments as check_against_model."""
    suffix, behaviour = config["questions"]["suffix"], {key: config["behaviour"][key] for key in ("marker", "separator")}
    used = {use["set"]: question_sets[use["set"]] for use in [config["questions"]["training"], *config["questions"]["evaluation"]]}
    questions = [(f"questions.file, set '{name}'", question) for name, questions in used.items() for question in questions]
    prompts = {persona.name: persona.prompt for persona in personas}
    blocks = ("training_data", "evaluation")
    return {
        "texts": [
            *((f"personas.file, '{name}'", prompt) for name, prompt in prompts.items()),
            *questions,
            ("questions.suffix", suffix),
            ("behaviour.marker", behaviour["marker"]),
        ],
        "prompts": prompts,
        "questions": [question + suffix for _, question in questions],
        "behaviour": behaviour,
        "replies": {f"{block}.sampling.max_new_tokens": config[block]["sampling"]["max_new_tokens"] for block in blocks},
    }
