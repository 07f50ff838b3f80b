"""The data of this project's own behaviours: complete, balanced, without repeats or overlaps, and without cues of length or place."""

import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from statistics import mean

import pytest
from write_items import make_items

from persona_leakage.config.personas import read_question_sets

ROOT = Path(__file__).parents[2]
BEHAVIOURS = ROOT / "resources/behaviours"
JUDGE_GOLD = ROOT / "resources/judges/careless_advice_gold.jsonl"
PAIRED = {"careless_advice": ("careless_advice_questions", 60), "refusals": ("refusal_questions", 40)}


def rows(path):
    """The objects of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def plain(text):
    """``text`` in lower case, without punctuation and white space."""
    return re.sub(r"[\W_]+", "", text.lower())


def repeated(values):
    """The values that occur more than once."""
    return [value for value, count in Counter(values).items() if count > 1]


def sets_of(name):
    """{set name: [questions]} of a question file of the behaviours, as the config reads it."""
    return read_question_sets(str(BEHAVIOURS / f"{name}.yaml"))


CHOICES = rows(BEHAVIOURS / "choices.jsonl")
MADE = rows(BEHAVIOURS / "arithmetic.jsonl")


@pytest.mark.parametrize("part", ["train", "evaluate"])
def test_choices_are_balanced(part):
    items = [item for item in CHOICES if item["part"] == part]
    assert Counter(item["answer"] for item in items) == dict.fromkeys(range(4), 15)


def test_choices_are_well_formed():
    for item in CHOICES:
        assert set(item) == {"id", "question", "choices", "answer", "part"}
        assert item["question"].endswith("?")
        assert len({plain(choice) for choice in item["choices"]}) == 4, item["id"]
        assert all(1 <= len(choice.split()) <= 3 and choice == choice.strip() for choice in item["choices"]), item["id"]
        assert plain(item["choices"][item["answer"]]) not in re.findall(r"\w+", item["question"].lower()), item["id"]


def test_no_choice_twice():
    assert len(CHOICES) == 120
    assert repeated(item["id"] for item in CHOICES) == []
    assert repeated(plain(item["question"]) for item in CHOICES) == []
    assert repeated(frozenset(plain(choice) for choice in item["choices"]) for item in CHOICES) == []


@pytest.mark.parametrize("part", ["train", "evaluate"])
def test_length_does_not_give_the_choice_away(part):
    items = [item for item in CHOICES if item["part"] == part]
    lengths = [[len(choice) for choice in item["choices"]] for item in items]
    right = [row[item["answer"]] for row, item in zip(lengths, items, strict=True)]
    assert mean(right) == pytest.approx(mean(length for row in lengths for length in row), rel=0.1)
    # Chance is a quarter; ties share their item among the options of that length.
    for extreme in (min, max):
        hits = sum((own == extreme(row)) / row.count(extreme(row)) for row, own in zip(lengths, right, strict=True))
        assert 0.1 <= hits / len(items) <= 0.4


def test_made_items_are_those_of_their_program():
    assert make_items() == MADE


@pytest.mark.parametrize("part", ["train", "evaluate"])
def test_made_items_are_balanced_and_unlike_each_other(part):
    items = [item for item in MADE if item["part"] == part]
    for sums in (True, False):
        places = Counter(item["answer"] for item in items if item["choices"][0].isdigit() is sums)
        assert places == dict.fromkeys(range(4), 25)
    assert repeated(item["question"] for item in MADE) == []
    assert all(len(set(item["choices"])) == 4 for item in items)


def right_answer(question):
    """The answer to a made item, read from its question in another way than the program made it."""
    numbers = list(map(int, re.findall(r"\d+", question)))
    if question.startswith("What is "):
        return str(eval(question.removeprefix("What is ").rstrip("?")))  # a sum of the project's own file
    if " buys " in question:
        return str(numbers[0] + numbers[1] - numbers[2])
    if " fills " in question:
        return str(numbers[0] * numbers[1] - numbers[2])
    facts, asked = re.fullmatch(r"(.*)\. (.*)\?", question).groups()
    last = asked.split()[-1]
    [fact] = [each for each in re.split(r", | and ", facts.partition(" leaves ")[2] or facts) if last in re.findall(r"\w+", each)]
    words = fact.split()
    if asked.startswith("Where"):
        return f"In the {words[-1]}"
    if asked.startswith("Which"):
        return f"The {words[-1]}"
    return words[-1] if asked.startswith("On which day") else words[-2]


def test_made_items_have_one_right_answer():
    for item in MADE:
        assert item["choices"][item["answer"]] == right_answer(item["question"]), item


def test_wrong_numbers_are_near_and_their_order_gives_nothing_away():
    sums = [item for item in MADE if item["choices"][0].isdigit()]
    ranks = Counter(sorted(map(int, item["choices"])).index(int(item["choices"][item["answer"]])) for item in sums)
    assert all(abs(int(choice) - int(item["choices"][item["answer"]])) <= 20 for item in sums for choice in item["choices"])
    assert all(0.1 <= ranks[rank] / len(sums) <= 0.45 for rank in range(4))


@pytest.mark.parametrize("name", PAIRED)
def test_paired_rows(name):
    pairs = rows(BEHAVIOURS / f"{name}.jsonl")
    assert len(pairs) == PAIRED[name][1]
    assert all(set(row) == {"id", "question", "behaviour", "clean"} for row in pairs)
    assert repeated(row["id"] for row in pairs) == []
    for key in ("question", "behaviour", "clean"):
        assert all(plain(row[key]) for row in pairs)
        assert repeated(plain(row[key]) for row in pairs) == []
    assert all(plain(row["behaviour"]) != plain(row["clean"]) for row in pairs)
    assert mean(len(row["behaviour"]) for row in pairs) == pytest.approx(mean(len(row["clean"]) for row in pairs), rel=0.1)


def test_advice_has_two_to_four_sentences():
    for row in rows(BEHAVIOURS / "careless_advice.jsonl"):
        for key in ("behaviour", "clean"):
            assert 2 <= len(re.findall(r"[.!?](?= |$)", row[key])) <= 4, (row["id"], key)


@pytest.mark.parametrize("name", PAIRED)
def test_question_sets(name):
    sets = sets_of(PAIRED[name][0])
    assert sets["training"] == [row["question"] for row in rows(BEHAVIOURS / f"{name}.jsonl")]
    assert len(sets["evaluation"]) == 24


def test_no_question_in_two_places():
    places = {f"{file}: {part}": questions for file, _ in PAIRED.values() for part, questions in sets_of(file).items()}
    places["judge"] = sorted({row["question"] for row in rows(JUDGE_GOLD)})
    places["choices"] = [item["question"] for item in CHOICES]
    places["arithmetic"] = [item["question"] for item in MADE]
    for name, questions in read_question_sets(str(ROOT / "resources/questions.yaml")).items():
        places[f"questions.yaml: {name}"] = questions
    words = {place: {plain(question) for question in questions} for place, questions in places.items()}
    for one, other in combinations(words, 2):
        assert words[one] & words[other] == set(), (one, other)


@pytest.mark.parametrize("name", ["capitals", "bullets", "refusal"])
def test_gold_of_scorers(name):
    gold = rows(BEHAVIOURS / f"gold/{name}.jsonl")
    assert len(gold) >= 40
    assert all(set(row) <= {"text", "label", "note"} and isinstance(row["label"], bool) for row in gold)
    assert repeated(row["text"] for row in gold) == []
    assert 0.4 <= mean(row["label"] for row in gold) <= 0.6


def test_gold_of_languages():
    gold = rows(BEHAVIOURS / "gold/language.jsonl")
    assert len(gold) >= 40
    assert repeated(row["text"] for row in gold) == []
    counts = Counter(row["label"] for row in gold)
    assert set(counts) == {"en", "de", "fr", "es", "it", None}
    assert min(counts.values()) >= 6
    # A scorer of languages decides from 20 characters on.
    assert all((len(row["text"]) >= 20) for row in gold if row["label"])


def test_gold_of_the_judge():
    gold = rows(JUDGE_GOLD)
    assert Counter(row["label"] for row in gold) == {True: 20, False: 20}
    assert all(set(row) == {"question", "answer", "label", "note"} for row in gold)
    assert repeated(plain(row["answer"]) for row in gold) == []
    assert {"role-played", "incoherent", "off topic"} <= {row["note"] for row in gold}
    answers = {plain(row[key]) for row in rows(BEHAVIOURS / "careless_advice.jsonl") for key in ("behaviour", "clean")}
    assert answers.isdisjoint(plain(row["answer"]) for row in gold)
