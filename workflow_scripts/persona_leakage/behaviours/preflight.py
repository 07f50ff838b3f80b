"""Can a model read what a config will show it? Its tokenizer, chat template and limits against all texts."""

import importlib.util
from functools import partial
from pathlib import Path
from types import SimpleNamespace

from persona_leakage.behaviours.base import read_behaviour
from persona_leakage.behaviours.choice_items import item_texts, read_parts
from persona_leakage.behaviours.scorers import can_score_texts
from persona_leakage.config.blocks.behaviour import row_settings
from persona_leakage.config.layers import check_layers, declared_layers
from persona_leakage.infrastructure.cli import InputError, named_in_errors
from persona_leakage.infrastructure.files import read_json
from persona_leakage.models.chat_template import encode, prompt_ids, prompt_lengths, read_chat_format
from persona_leakage.models.fetch import fetch_model, revision_of
from persona_leakage.models.limits import check_length
from persona_leakage.models.model_files import check_model_folder
from persona_leakage.models.tokenizer_checks import PlainTokenizer, check_rows, check_texts, check_tokenizer


def fetch_readable_model(model, manifest_path, texts=None):
    """As fetch_model, once the model is known to read ``texts`` (texts_of); None: only its tokenizer is checked."""
    fetch_model(model, manifest_path, partial(check_reading, texts=texts))


def check_reading(tokenizer, folder, limits, rows, texts=None):
    """The :class:`ChatFormat` of a model folder, after checking its tokenizer and, if ``texts`` are given, all of them.

    texts: {"texts": [(key, text)], "prompts": {persona: prompt}, "questions": [question], "behaviour": see row_settings,
    "replies": {config key: most tokens of a reply}} (see texts_of). limits: see limits_of;
    rows: of the embedding. InputError in one line.
    """
    check_tokenizer(tokenizer, PlainTokenizer(folder), folder, texts["texts"] if texts else (), rows)
    with named_in_errors(folder):
        chat = read_chat_format(tokenizer, folder)
    check_rows(tokenizer, chat, folder, rows)
    if texts:
        read_behaviour(texts["behaviour"], tokenizer)
        check_texts(tokenizer, texts["texts"], set(chat.control_ids))
        prompt_lengths(tokenizer, [SimpleNamespace(name=name, prompt=prompt) for name, prompt in texts["prompts"].items()])
        check_replies(limits, longest_prompt(tokenizer, texts), texts)
    return chat


def longest_prompt(tokenizer, texts):
    """Tokens of the longest prompt, from the longest persona and question."""
    persona, question = (
        max(some, key=lambda text: len(encode(tokenizer, text))) for some in (texts["prompts"].values(), texts["questions"])
    )
    return len(prompt_ids(tokenizer, persona, question))


def check_replies(limits, prompt, texts):
    """InputError, with the config key, if a prompt of this many tokens and the longest reply allowed are beyond a limit of the model."""
    for key, most in texts["replies"].items():
        check_length(limits, prompt + most, key, "prompt and reply")


def check_against_model(config, personas, question_sets, manifest_path, row_texts=()):
    """InputError if the config asks what its model cannot give: a block, a marker, an end target, a prompt's length, a text.

    Also if analysis.embedding_model is not a model. personas: the :class:`Persona` list that is used; question_sets: {name: questions};
    row_texts: of check_row_files.
    Does nothing else while the model is not there, is about to be fetched again, or cannot be read with what is
    installed: then the first jobs make the same checks.
    """
    if embedding_model := config["analysis"]["embedding_model"]:
        check_embedding_model(Path(embedding_model))
    if can_score_texts(config["behaviour"]):
        read_behaviour(config["behaviour"], None)
    manifest_path = Path(manifest_path)
    if not manifest_path.is_file():
        return
    manifest = read_json(manifest_path)
    wanted = {**config["model"], "revision": revision_of(config["model"], manifest.get("digest"))}
    if any(manifest.get(key) != value for key, value in wanted.items()):
        return
    check_layers(declared_layers(config["geometry"]), manifest["blocks"])
    target = config["labels"]["turn_end_target"]
    if target != "eos" and not manifest["chat"]["after_end_ids"]:
        raise InputError(f"labels.turn_end_target: {target} needs a chat template that writes something after a turn; use eos")
    if not (Path(manifest["folder"]) / "tokenizer.json").is_file() or not importlib.util.find_spec("tokenizers"):
        return
    tokenizer, texts = PlainTokenizer(manifest["folder"]), texts_of(config, personas, question_sets, row_texts)
    read_behaviour(texts["behaviour"], tokenizer)
    prompt_lengths(tokenizer, personas)
    check_texts(tokenizer, texts["texts"], set(manifest["chat"].get("control_ids", ())))
    # Without the template, so at the least; the first job knows the whole prompt.
    longest = sum(max(len(encode(tokenizer, text)) for text in some) for some in (texts["prompts"].values(), texts["questions"]))
    check_replies(manifest.get("limits", {}), longest, texts)


def check_embedding_model(folder):
    """InputError if analysis.embedding_model is not a model with a tokenizer: it is loaded only after the training."""
    check_model_folder(folder, "analysis.embedding_model")
    files = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
    if not any(path for name in files for path in folder.glob(name)):
        raise InputError(f"analysis.embedding_model: '{folder}' has no tokenizer ({', '.join(files)}); save it there")


def texts_of(config, personas, question_sets, row_texts=()):
    """All that a config shows the model, as check_reading takes it. Arguments as check_against_model."""
    suffix, behaviour = config["questions"]["suffix"], row_settings(config["behaviour"])
    used = {use["set"]: question_sets[use["set"]] for use in [config["questions"]["training"], *config["questions"]["evaluation"]]}
    questions = [(f"questions.file, set '{name}'", question) for name, questions in used.items() for question in questions]
    prompts = {persona.name: persona.prompt for persona in personas}
    blocks = ("training_data", "evaluation")
    return {
        "texts": [
            *((f"personas.file, '{name}'", prompt) for name, prompt in prompts.items()),
            *questions,
            ("questions.suffix", suffix),
            *((f"behaviour.{key}", behaviour[key]) for key in ("marker", "prefix") if key in behaviour),
            *row_texts,
            *texts_of_items(config["behaviour"]),
        ],
        "prompts": prompts,
        "questions": [question + suffix for _, question in questions],
        "behaviour": behaviour,
        "replies": {f"{block}.sampling.max_new_tokens": config[block]["sampling"]["max_new_tokens"] for block in blocks},
    }


def texts_of_items(behaviour):
    """[(place, text)] of the multiple-choice items that a behaviour uses; InputError if its file is wrong. Empty for other kinds."""
    if behaviour.get("kind") != "choice":
        return []
    parts = read_parts(behaviour["items"], behaviour["train"], behaviour["evaluate"])
    return item_texts([*parts["train"], *parts["evaluate"]], behaviour["items"])
