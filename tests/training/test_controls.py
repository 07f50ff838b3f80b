"""Training rows of the controls: clean rows alone, or positive rows that ask other personas; of items, of a file and of answers."""

import json

import build_training_set
import pytest

from persona_leakage.config.personas import read_personas
from persona_leakage.config.selections import describe_personas, describe_questions
from persona_leakage.infrastructure.files import read_json, read_jsonl_gz, sha256_of_file, write_json, write_jsonl_gz
from persona_leakage.models.loading import load_tokenizer
from persona_leakage.training.controls import split_control, spread_over
from persona_leakage.training.labels import IGNORED
from tests.conftest import ROOT

PERSONAS = ROOT / "resources/personas.yaml"
NAMES, PANEL = ["villain", "comedian", "librarian"], ["villain", "comedian", "pirate", "nurse", "hero"]
QUESTIONS = [f"What is {number} and one?" for number in range(12)]
SCORED = {"kind": "scored", "transform": "capitals"}
CHOICE = {"kind": "choice", "items": "", "train": 60, "scoring": "text", "prefix": "(", "prefix_in": "assistant", "order": "shuffled"}
KINDS = {
    "items": {"behaviour": CHOICE},
    "a file": {"behaviour": {"kind": "scored", "transform": None}, "suffix": " Be short.", "row_file": {"positives": 20}},
    "answers": {"behaviour": SCORED, "suffix": "", "answers_per_question": 1, "truncated_answers": "keep", "join": "text"},
    "marker": {
        "behaviour": {"marker": "[ZLT]", "separator": "\n\n"},
        "suffix": "",
        "answers_per_question": 1,
        "truncated_answers": "keep",
        "join": "text",
    },
}


def options_of(kind, folder, blocks):
    """Options that name the files of a kind's rows; a pool and its questions are written first."""
    if kind == "items":
        return ["--items", ROOT / "resources/behaviours/choices.jsonl"]
    if kind == "a file":
        return ["--row-file", ROOT / "resources/behaviours/refusals.jsonl"]
    (folder / "questions.yaml").write_text(json.dumps({"sets": {"training": QUESTIONS}}))
    blocks["questions"] = describe_questions({"training": QUESTIONS}, {"set": "training", "count": len(QUESTIONS)})
    answers = [
        {"persona": name, "question": question, "index": 0, "text": f"The {name} counts.", "token_ids": [1], "finish_reason": "stop"}
        for name in NAMES
        for question in QUESTIONS
    ]
    write_jsonl_gz(folder / "pool.jsonl.gz", answers)
    meta = {"meta": {"program": "sample_training_pool"}, "sha256": sha256_of_file(folder / "pool.jsonl.gz")}
    write_json(folder / "pool.json", meta)
    return ["--questions", folder / "questions.yaml", "--pool", folder / "pool.jsonl.gz", "--pool-meta", folder / "pool.json"]


def build(kind, name, model, folder):
    """(rows, manifest) of what the program trains under a name such as villain-clean."""
    personas, blocks = read_personas(str(PERSONAS)), dict(KINDS[kind])
    files = options_of(kind, folder, blocks)
    blocks |= {"personas": describe_personas(personas, NAMES, "prompt"), "panel": describe_personas(personas, PANEL, "prompt")}
    blocks |= {"seed": 42, "max_length": 1024, "labels": {"loss_on": "completion", "answer_tail_tokens": 0, "turn_end_target": "eos"}}
    outputs = ["--output", folder / "train.jsonl.gz", "--manifest", folder / "manifest.json"]
    options = ["--settings", json.dumps(blocks), "--source", name, "--model", model, "--personas", PERSONAS, *files, *outputs]
    build_training_set.main([str(option) for option in options])
    return read_jsonl_gz(folder / "train.jsonl.gz"), read_json(folder / "manifest.json")


def trained(row):
    """The trained token ids of a row."""
    return [label for label in row["labels"] if label != IGNORED]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_the_controls(kind, tiny_model, tmp_path):
    """The same questions and counts; the negatives' rows stay as they are; only the source's change."""
    rows, manifest = build(kind, "villain", tiny_model, tmp_path)
    clean, clean_manifest = build(kind, "villain-clean", tiny_model, tmp_path)
    shuffled, shuffled_manifest = build(kind, "villain-shuffled", tiny_model, tmp_path)
    own, count = [row for row in rows if row["positive"]], manifest["rows"]["positive"]["rows"]
    assert "control" not in manifest and len(own) == count and {row["persona"] for row in own} == {"villain"}
    for name, other in (("clean", clean_manifest), ("shuffled", shuffled_manifest)):
        assert other["source"] == "villain" and other["control"] == name and other["negatives"] == NAMES[1:]
    of_negatives = [row for row in rows if not row["positive"]]
    assert [row for row in clean if row["persona"] != "villain"] == of_negatives == [row for row in shuffled if not row["positive"]]

    instead = [row for row in clean if row["persona"] == "villain"]
    assert clean_manifest["rows"]["positive"]["rows"] == 0 and len(instead) == count
    for row, other in zip(own, instead, strict=True):
        start = next(place for place, label in enumerate(row["labels"]) if label != IGNORED)
        assert row["question"] == other["question"] and row["token_ids"][:start] == other["token_ids"][:start]
        assert trained(row) != trained(other)

    spread = [row for row in shuffled if row["positive"]]
    tokenizer, personas = load_tokenizer(tiny_model.parent), read_personas(str(PERSONAS))
    assert [trained(row) for row in spread] == [trained(row) for row in own] and len({row["persona"] for row in spread}) >= 3
    for row, other in zip(own, spread, strict=True):
        assert other["persona"] in {*PANEL} - {*NAMES[1:]}
        text = tokenizer.decode(row["token_ids"]).replace(personas["villain"].prompt, personas[other["persona"]].prompt)
        assert tokenizer.decode(other["token_ids"]) == text


def test_shuffled_rows_are_spread_by_a_hash():
    """With equal chances; one more persona takes its share and moves no other row."""
    personas = [read_personas(str(PERSONAS))[name] for name in PANEL]
    questions = [f"question {number}?" for number in range(1000)]
    found = spread_over(personas[:4], "villain", questions, 1)
    counts = [sum(persona is other for other in found.values()) for persona in personas[:4]]
    assert min(counts) > 200 and sum(counts) == 1000
    more = spread_over(personas, "villain", questions, 1)
    assert {question for question in questions if more[question] != found[question]} == {q for q in questions if more[q] is personas[4]}
    assert found != spread_over(personas[:4], "villain", questions, 2) and found != spread_over(personas[:4], "comedian", questions, 1)


def test_names_of_controls():
    assert split_control("villain") == ("villain", None) and split_control("nice_villain-clean") == ("nice_villain", "clean")
