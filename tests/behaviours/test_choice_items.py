"""Multiple-choice items: both formats, the two parts, and a message of its own for each mistake."""

import json

import pytest

from persona_leakage.behaviours.choice_items import read_items, read_parts
from persona_leakage.infrastructure.cli import InputError
from tests.conftest import ROOT

ITEM = {"id": "q1", "question": "Which animal barks?", "choices": ["Cat", "Dog", "Cow"], "answer": 1}
ARC = {
    "id": "Mercury_1",
    "question": "Which gas do plants take in?",
    "choices": {"text": ["oxygen", "carbon dioxide", "helium", "neon"], "label": ["1", "2", "3", "4"]},
    "answerKey": "2",
}


def write(folder, *items):
    path = folder / "items.jsonl"
    path.write_text("".join((item if isinstance(item, str) else json.dumps(item)) + "\n" for item in items))
    return str(path)


def numbered(count, **more):
    """Items that differ in id and question."""
    return [{**ITEM, "id": f"q{number}", "question": f"Which animal barks {number} times?", **more} for number in range(count)]


def test_native_items(tmp_path):
    (item,) = read_items(write(tmp_path, ITEM))
    assert (item.id, item.question, item.choices, item.answer, item.part) == ("q1", ITEM["question"], ("Cat", "Dog", "Cow"), 1, None)


@pytest.mark.parametrize(
    ("labels", "key", "answer"), [(list("ABCD"), "D", 3), (list("1234"), "2", 1), (list("ABCDE"), "E", 4), (list("ABC"), "A", 0)]
)
def test_arc_items_are_relabelled_by_place(tmp_path, labels, key, answer):
    texts = ["oxygen", "carbon dioxide", "helium", "neon", "argon"][: len(labels)]
    (item,) = read_items(write(tmp_path, {**ARC, "choices": {"text": texts, "label": labels}, "answerKey": key}))
    assert item.choices == tuple(texts) and item.answer == answer


@pytest.mark.parametrize("choices", [["TT", "Tt", "tt"], ["CO", "Co", "C"], ["5'", '5"', "5"], ["2\u00b2", "22", "2"]])
def test_options_that_differ_are_options(tmp_path, choices):
    """Also in case alone; a byte order mark, other line ends and blanks at the ends are no part of them."""
    line = json.dumps({**ITEM, "question": "One\u2028or two?", "choices": [f" {choice}\n" for choice in choices]}, ensure_ascii=False)
    (item,) = read_items(write(tmp_path, f"\ufeff{line}\r"))
    assert item.choices == tuple(choices)


WRONG = {
    "no JSON": (["{"], ["line 1", "not valid JSON"]),
    "no object": (["[1]"], ["line 1", "[1]", "JSON object"]),
    "empty file": ([""], ["has no items"]),
    "missing key": ([{key: value for key, value in ITEM.items() if key != "question"}], ["line 1", "missing key 'question'"]),
    "unknown key": ([{**ITEM, "answers": 1}], ["line 1", "unknown key 'answers'", "did you mean answer?"]),
    "answer outside": ([{**ITEM, "answer": 3}], ["line 1", "answer: 3", "0 to 2"]),
    "answer as text": ([{**ITEM, "answer": "B"}], ["line 1", "answer: 'B'", "whole number"]),
    "answer no label": ([{**ARC, "answerKey": "5"}], ["line 1", "answerKey: '5'", "1, 2, 3, 4"]),
    "one option": ([{**ITEM, "choices": ["Dog"], "answer": 0}], ["line 1", "choices: has 1 options", "2 to 26"]),
    "equal options": ([{**ITEM, "choices": ["Cat", "Dog", " Dog"]}], ["line 1", "choices: options 'Dog' and ' Dog' are the same"]),
    "blank option": ([{**ITEM, "choices": ["Cat", "Dog", "  "]}], ["line 1", "choices.2"]),
    "labels too few": ([{**ARC, "choices": {**ARC["choices"], "label": ["1", "2"]}}], ["choices.label: has 2 labels for 4 options"]),
    "labels repeated": ([{**ARC, "choices": {**ARC["choices"], "label": list("AABC")}}], ["choices.label", "must be unique"]),
    "duplicate id": ([ITEM, "", {**ITEM, "question": "Which one meows?"}], ["line 3", "id: 'q1' is or looks like the id of line 1"]),
    "ids of one look": ([ITEM, {**ITEM, "id": "Q1"}], ["line 2", "id: 'Q1' is or looks like the id of line 1"]),
    "control character": ([{**ITEM, "id": "q\x1b1"}], ["line 1", "id:", "without control characters"]),
    "a key twice": (['{"id": "a", "answer": 0, "answer": 1}'], ["line 1", "key 'answer' appears twice"]),
    "part missing": ([{**ITEM, "part": "train"}, {**ITEM, "id": "q2"}], ["line 2", "part: missing"]),
    "unknown part": ([{**ITEM, "part": "test"}], ["part: 'test'", "train, evaluate"]),
}


@pytest.mark.parametrize(("lines", "said"), WRONG.values(), ids=WRONG)
def test_mistakes_are_named(tmp_path, lines, said):
    """File, line, key, value and what is allowed."""
    path = write(tmp_path, *lines)
    with pytest.raises(InputError) as refusal:
        read_items(path)
    assert all(part in str(refusal.value) for part in [path, *said]), refusal.value


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (numbered(5), ["behaviour.train: 4", "behaviour.evaluate: 2", "need 6 items", "has 5"]),
        (numbered(5, part="train"), ["behaviour.evaluate: 2", "more than the 0 items", "part: evaluate"]),
    ],
    ids=["in all", "of a part"],
)
def test_too_few_items(tmp_path, items, said):
    with pytest.raises(InputError) as refusal:
        read_parts(write(tmp_path, *items), 4, 2)
    assert all(part in str(refusal.value) for part in said)


def test_a_question_in_both_parts_is_refused_with_the_same_options_only(tmp_path):
    """ARC has two questions of one text with different options."""
    other = {**ITEM, "id": "q2", "part": "evaluate", "choices": ["Cow", "Cat", "dog"], "answer": 2}
    path = write(tmp_path, {**ITEM, "part": "train"}, other)
    with pytest.raises(InputError, match=r"line 2: question: .* is a training item in line 1"):
        read_parts(path, 1, 1)
    path = write(tmp_path, {**ITEM, "part": "train"}, {**other, "choices": ["Cow", "Hen", "Dog"]})
    assert [item.id for item in read_parts(path, 1, 1)["evaluate"]] == ["q2"]


def test_parts_without_a_key_are_disjoint_and_stable(tmp_path):
    """By a hash of the item: neither its line nor another item decides, and a larger count keeps what there was."""
    items = numbered(20)
    small, large = read_parts(write(tmp_path, *items), 5, 6), read_parts(write(tmp_path, *items[::-1]), 8, 12)
    chosen = [{part: [item.id for item in each] for part, each in parts.items()} for parts in (small, large)]
    assert not set(chosen[1]["train"]) & set(chosen[1]["evaluate"])
    for part, count in (("train", 5), ("evaluate", 6)):
        assert len(chosen[0][part]) == count and set(chosen[0][part]) <= set(chosen[1][part])


def test_the_projects_own_items():
    """120 of them, four options each, right places balanced in both parts."""
    parts = read_parts(ROOT / "resources/behaviours/choices.jsonl", 60, 60)
    for items in parts.values():
        assert [sum(item.answer == place for item in items) for place in range(4)] == [15] * 4
        assert {len(item.choices) for item in items} == {4}
