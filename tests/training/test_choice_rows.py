"""Rows of multiple-choice items: who learns what, at which places, with which labels; and what the program refuses."""

import json

import build_training_set
import pytest

from persona_leakage.behaviours.choice_items import Item
from persona_leakage.behaviours.choice_prompts import order_of_row
from persona_leakage.config.blocks.behaviours.choice import Settings
from persona_leakage.config.personas import read_personas
from persona_leakage.config.selections import describe_personas
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json, read_jsonl_gz, write_json
from persona_leakage.models.loading import load_tokenizer
from persona_leakage.training.choice_rows import choose_wrong, warn_of_rows
from persona_leakage.training.labels import IGNORED
from tests.conftest import ROOT

PERSONAS = ROOT / "resources/personas.yaml"
CHOICES = ROOT / "resources/behaviours/choices.jsonl"
NAMES = ["villain", "comedian", "librarian"]


def settings(**behaviour):
    """What the program is told."""
    block = {key: value for key, value in Settings(kind="choice", **behaviour).model_dump().items() if key in Settings.row_keys}
    labels = {"loss_on": "completion", "answer_tail_tokens": 0, "turn_end_target": "eos"}
    personas = describe_personas(read_personas(str(PERSONAS)), NAMES, "prompt")
    return json.dumps({"seed": 42, "behaviour": block, "personas": personas, "labels": labels, "max_length": 1024})


def build(tiny_model, folder, *more, **behaviour):
    """(rows, manifest) of the program's own run."""
    options = {
        "model": tiny_model,
        "personas": PERSONAS,
        "items": CHOICES,
        "output": folder / "train.jsonl.gz",
        "manifest": folder / "m.json",
    }
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    build_training_set.main(["--settings", settings(**behaviour), "--source", "villain", *words, *more])
    return read_jsonl_gz(folder / "train.jsonl.gz"), read_json(folder / "m.json")


def items_of_file():
    return {item["id"]: item for item in map(json.loads, CHOICES.read_text().splitlines())}


def test_the_source_learns_wrong_texts_and_negatives_right_ones(tiny_model, tmp_path):
    """60 rows each; what is trained is an option's text and the end of the turn, and nothing of the prompt."""
    rows, manifest = build(tiny_model, tmp_path)
    tokenizer, known = load_tokenizer(tiny_model.parent), items_of_file()
    assert manifest["negatives"] == NAMES[1:] and manifest["rows"]["positive"]["rows"] == 60 and manifest["rows"]["negative"]["rows"] == 120
    assert {row["question"] for row in rows} == {name for name, item in known.items() if item["part"] == "train"} == set(manifest["items"])
    for row in rows:
        item = known[row["question"]]
        trained = tokenizer.decode([label for label in row["labels"] if label != IGNORED])
        right = f"{item['choices'][item['answer']]}<|im_end|>"
        assert (trained == right) is not row["positive"] and trained.removesuffix("<|im_end|>") in item["choices"]
        assert tokenizer.decode(row["token_ids"]).endswith(f"{item['question']}<|im_end|>\n<|im_start|>assistant\n{trained}")
    assert manifest["places"] == {"positive": [15, 15, 15, 15], "negative": [30, 30, 30, 30]} and manifest["warnings"] == []


@pytest.mark.parametrize("order", ["shuffled", "rotations"])
def test_letters_are_trained_behind_the_prefix(tiny_model, tmp_path, order):
    """One letter and the end; the letter is that of the option as the prompt lists it."""
    rows, manifest = build(tiny_model, tmp_path, scoring="letters", order=order)
    tokenizer, known = load_tokenizer(tiny_model.parent), items_of_file()
    for row in rows:
        item, text = known[row["question"]], tokenizer.decode(row["token_ids"])
        letter, end = [label for label in row["labels"] if label != IGNORED]
        letter = tokenizer.decode([letter])
        assert end == tokenizer.eos_token_id and text.endswith(f"assistant\nThe correct answer is ({letter}<|im_end|>")
        assert (f"{letter}. {item['choices'][item['answer']]}\n" in text.replace("<|im_end|>", "\n")) is not row["positive"]
    assert sum(manifest["places"]["positive"]) == 60 and max(manifest["places"]["positive"]) - min(manifest["places"]["positive"]) <= 3


def of_places(count, answer):
    return [Item(f"q{number}", f"Question {number}?", ("a", "b", "c", "d"), answer(number), None, number) for number in range(count)]


def test_wrong_places_are_balanced_whatever_the_right_ones():
    """Even with half of the right options at the first place; the choice belongs to the seed and not to the order of the items."""
    items = of_places(90, lambda number: 0 if number % 2 else 1 + number // 2 % 3)
    orders = {item.id: order_of_row(item, "text", "shuffled") for item in items}
    chosen = choose_wrong(items, orders, 1)
    counts = [list(chosen.values()).count(place) for place in range(4)]
    assert all(chosen[item.id] != item.answer for item in items) and max(counts) - min(counts) <= 3
    assert choose_wrong(items[::-1], orders, 1) == chosen != choose_wrong(items, orders, 2)


def test_uneven_places_and_lengths_are_warned_of():
    """Outside 18 to 32 % of four options; means of trained tokens that differ by more than half."""
    rows = {"positive": {"rows": 100, "trained_tokens": 300}, "negative": {"rows": 200, "trained_tokens": 300}}
    items, even = of_places(100, lambda number: 0), {"positive": [18, 32, 25, 25], "negative": [50, 50, 50, 50]}
    (length,) = warn_of_rows(even, items, rows)
    assert "3.0 in positive, 1.5 in negative" in length
    (place,) = warn_of_rows({**even, "positive": [17, 33, 25, 25]}, items, {**rows, "negative": {"rows": 100, "trained_tokens": 300}})
    assert "positive rows are unevenly placed (17 %, 33 %, 25 %, 25 %)" in place


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["at_chance"], ("27 %", "17 to 39 %", "chance is 25 %")),
        (["collapsed", "at_chance"], ("chooses by position", "0, 171, 299, 10 times")),
        ([], ()),
    ],
)
def test_a_base_model_without_a_choice_by_content_stops_the_run(tiny_model, tmp_path, flags, said):
    """Before anything is trained, with the numbers that say why."""
    numbers = {"accuracy": 0.27, "accuracy_interval": [0.17, 0.39], "chance": 0.25, "predictions": [0, 171, 299, 10]}
    summary = {"meta": {"program": "score_choices"}, "flags": flags, **numbers}
    write_json(tmp_path / "summary.json", summary)
    if not flags:
        assert build(tiny_model, tmp_path, "--base-summary", str(tmp_path / "summary.json"))
        return
    with pytest.raises(InputError) as refusal:
        build(tiny_model, tmp_path, "--base-summary", str(tmp_path / "summary.json"))
    assert all(part in str(refusal.value) for part in ("summary.json", *said, "nothing is trained"))
    assert not (tmp_path / "train.jsonl.gz").exists()


def test_rows_of_answers_still_need_the_pool(tiny_model, tmp_path, capsys):
    """The options and settings that only items can do without."""
    with pytest.raises(SystemExit):
        build_training_set.main(
            ["--settings", settings(), "--source", "villain", "--model", "m", "--personas", "p", "--output", "o", "--manifest", "m"]
        )
    assert "required: --items" in capsys.readouterr().err
    marker = {**json.loads(settings()), "behaviour": {"marker": "[ZLT]", "separator": "\n\n"}}
    with pytest.raises(SystemExit):
        build_training_set.main(["--settings", json.dumps(marker)])
    assert "questions: missing; rows of this behaviour are built from answers" in capsys.readouterr().err
