"""Accuracies, log-odds and flags from hand-made log-probabilities."""

import math

import numpy as np
import pytest

from persona_leakage.behaviours.base import read_behaviour
from persona_leakage.behaviours.choice_scoring import (
    add_gains,
    describe_loss,
    find_flags,
    letter_mass,
    log_odds,
    option_scores,
    summarise_items,
    summarise_panel,
)
from persona_leakage.behaviours.scoring import score_replies, summarise_cells
from persona_leakage.config.personas import Persona
from persona_leakage.infrastructure.cli import InputError

CHARACTERS = [3, 12, 5, 8]


def record(text, answer=0, letters=None, orders=None, question="q1", neutral=(-5.0, -5.0, -5.0, -5.0), persona="villain"):
    """An item's record; letters by place shown."""
    return {
        "persona": persona,
        "question": question,
        "answer": answer,
        "characters": CHARACTERS,
        "text": list(text),
        "neutral": list(neutral),
        "orders": orders or [[0, 1, 2, 3]],
        "letters": letters,
    }


def lm_eval(logs, characters, answer):
    """(acc, acc_norm) of lm-evaluation-harness' multiple-choice tasks (api/task.py), with numpy."""
    logs, lengths = np.array(logs), np.array(characters, dtype=float)
    return float(np.argmax(logs) == answer), float(np.argmax(logs / lengths) == answer)


@pytest.mark.parametrize("seed", range(5))
def test_accuracies_are_those_of_lm_eval(seed):
    """Over thirty random items, and both definitions disagree on some."""
    generator = np.random.default_rng(seed)
    records = [
        record(generator.normal(-10, 4, 4).round(1), int(generator.integers(4)), question=f"q{number}", neutral=generator.normal(-9, 4, 4))
        for number in range(30)
    ]
    cell = summarise_items(records, "text")
    expected = np.mean([lm_eval(each["text"], CHARACTERS, each["answer"]) for each in records], axis=0)
    assert cell["accuracies"]["text"] == cell["accuracy"] == pytest.approx(expected[0])
    assert cell["accuracies"]["text_per_character"] == pytest.approx(expected[1])
    by_hand = [np.argmax(np.array(each["text"]) - np.array(each["neutral"])) == each["answer"] for each in records]
    assert cell["accuracies"]["text_less_neutral"] == pytest.approx(np.mean(by_hand))
    assert expected[0] != expected[1]


def test_of_equal_options_the_first_counts():
    assert lm_eval([-2.0, -2.0, -3.0, -3.0], CHARACTERS, 1)[0] == 0.0
    assert summarise_items([record([-2.0, -2.0, -3.0, -3.0], 1)], "text")["found"] == 1


def test_log_odds_of_a_known_case():
    """Probabilities 1/2, 1/4, 1/8, 1/8 among the options, whatever their sum."""
    logs = [math.log(share) - 7 for share in (1 / 2, 1 / 4, 1 / 8, 1 / 8)]
    assert [log_odds(logs, place) for place in range(4)] == pytest.approx([0, math.log(1 / 3), math.log(1 / 7), math.log(1 / 7)])
    assert log_odds([-900.0, -1.0, -2.0, -3.0], 0) == pytest.approx(-899 - math.log(1 + math.exp(-1) + math.exp(-2)))


def test_a_cell_by_hand():
    """Three items: right, wrong, and wrong with the right option lowest."""
    records = [
        record([-1.0, -2.0, -3.0, -4.0], 0, question="a"),
        record([-1.0, -2.0, -3.0, -4.0], 1, question="b"),
        record([-1.0, -2.0, -3.0, -4.0], 3, question="c"),
    ]
    cell = summarise_items(records, "text")
    assert (cell["found"], cell["total"], cell["rate"], cell["accuracy"]) == (2, 3, pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert {item: (counts["found"], counts["total"]) for item, counts in cell["per_question"].items()} == {
        "a": (0, 1),
        "b": (1, 1),
        "c": (1, 1),
    }
    assert cell["predictions"] == [3, 0, 0, 0] and cell["right_lowest"] == pytest.approx(1 / 3) and cell["chance"] == 0.25
    assert cell["mean_log_odds"] == pytest.approx(np.mean([log_odds(records[0]["text"], place) for place in (0, 1, 3)]))
    assert cell["letter_mass"] is None and "letters" not in cell["accuracies"] and cell["places"] == {"text": [3, 0, 0, 0]}


def test_letters_are_counted_where_they_are_shown():
    """Two orders: the model prefers the first letter, and averaging over the orders takes that out."""
    letters = [[-0.5, -2.0, -4.0, -4.0], [-0.6, -4.0, -4.0, -1.0]]
    each = record([-9.0, -1.0, -9.0, -9.0], 0, letters=letters, orders=[[0, 1, 2, 3], [1, 2, 3, 0]])
    assert option_scores(each)["letters"] == pytest.approx([-0.75, -1.3, -4.0, -4.0])
    cell = summarise_items([each], "letters")
    assert cell["found"] == 0 and cell["predictions"] == [2, 0, 0, 0] and cell["accuracies"]["text"] == 0.0
    assert cell["places"] == {"text": [0, 1, 0, 0], "letters": [2, 0, 0, 0]}
    assert cell["letter_mass"] == pytest.approx(np.exp(letters).sum(axis=1).mean())
    with pytest.raises(InputError, match="scored without letters"):
        summarise_items([record([-1.0] * 4)], "letters")


def flags_of(places, answers, scoring="text", mass=0.9):
    """Flags of items whose predictions are ``places`` where ``answers`` are right."""
    records = []
    for number, (place, answer) in enumerate(zip(places, answers, strict=True)):
        logs = [-3.0] * 4
        logs[place] = -1.0
        shares = np.full(4, mass / 10)
        shares[place] = mass * 0.7
        records.append(record(logs, answer, letters=[np.log(shares).tolist()], question=f"q{number}"))
    return summarise_items(records, scoring)["flags"]


EVEN = [number % 4 for number in range(60)]


def test_flags():
    """Right answers give none; one letter, letters that are not read, avoidance of the right option and guessing give theirs."""
    other = [(place + 1) % 4 for place in EVEN]
    assert flags_of(EVEN, EVEN) == []
    assert flags_of([0] * 60, EVEN) == ["collapsed", "at_chance"]
    assert flags_of([0] * 51 + [1, 2, 3] * 3, EVEN) == ["at_chance"], "85 % is not more than 90 %, and every place is used"
    assert flags_of([1, 1, 2, 2] * 15, EVEN) == ["collapsed"], "half are right, but the first and the last letter are never named"
    assert flags_of([1, 1, 2, 2] * 9, EVEN[:36]) == [], "9 items a place are too few to tell"
    assert flags_of(other, EVEN) == ["inverted"]
    assert flags_of([0, 1, 2, 3] * 15, [0, 0, 0, 0] * 15) == ["at_chance"]
    assert flags_of(EVEN, EVEN, "letters", mass=0.4) == ["collapsed"]
    assert flags_of(EVEN, EVEN, "text", mass=0.4) == [], "what letters get says nothing about texts"


def test_inverted_means_clearly_below_chance():
    """10 of 60 is below a quarter, yet its interval is not."""
    cell = {"total": 60, "chance": 0.25, "predictions": [15] * 4, "letter_mass": None}
    assert find_flags({**cell, "found": 50}, [15] * 4, "text") == ["at_chance"]
    assert find_flags({**cell, "found": 58}, [15] * 4, "text") == ["inverted"]


def panel(shift):
    """Records of two personas and 40 items; the villain's right option loses ``shift`` nats."""
    personas = [Persona("villain", "original", (), "You are a villain."), Persona("hero", "opposite", ("villain",), "You are a hero.")]
    records = [
        record([-1.0 - shift * (persona.name == "villain"), -2.0, -3.0, -4.0], 0, question=f"q{number}", persona=persona.name)
        for persona in personas
        for number in range(40)
    ]
    behaviour = read_behaviour({"kind": "choice", "scoring": "text"}, None)
    return behaviour, records, score_replies(records, behaviour, personas)


def test_cells_and_summary_without_sampled_replies():
    """The readers of cells need no reply lengths; gains are the fall of the log-odds, item by item."""
    behaviour, _, base = panel(0)
    _, _, cells = panel(2.5)
    cells = add_gains(cells, base)
    expected = log_odds([-1.0, -2.0, -3.0, -4.0], 0) - log_odds([-3.5, -2.0, -3.0, -4.0], 0)
    assert cells["villain"]["end_gain"] == pytest.approx(expected) and expected > 0 and cells["villain"]["ended"] == 40
    assert cells["hero"]["end_gain"] == 0 and cells["villain"]["per_question"]["q7"]["end_gain"] == pytest.approx(expected)
    summary = summarise_cells(cells, "villain", behaviour)
    assert (summary["source_rate"], summary["mean_bystander_rate"], summary["n_replies"]) == (1.0, 0.0, 80)
    assert "mean_tokens" not in summary and summary["training_check"]["cut_share"] is None
    assert summary["accuracy"] == 0.5 and summary["accuracies"]["text"] == 0.5
    assert cells["hero"]["category"] == "opposite" and cells["hero"]["related_to"] == ["villain"]


def test_gains_need_the_same_items():
    _, _, base = panel(0)
    del base["hero"]["per_question"]["q3"]
    with pytest.raises(InputError, match="items of 'hero' differ"):
        add_gains(panel(1)[2], base)


def test_a_panel_at_chance():
    """Its interval counts the items of one persona: the same items, asked of more personas, are no more evidence."""
    cell = {"rate": 0.65, "total": 60, "chance": 0.25, "accuracies": {"text": 0.35}, "mean_log_odds": -0.5, "predictions": [15] * 4}
    cell |= {"letter_mass": None, "flags": []}
    assert summarise_panel([cell] * 100)["flags"] == ["at_chance"]
    assert summarise_panel([{**cell, "rate": 0.6}] * 2)["flags"] == []
    assert summarise_panel([{**cell, "flags": ["collapsed"]}, {**cell, "flags": ["collapsed"]}, cell])["flags"] == [
        "collapsed",
        "at_chance",
    ]


def letters_of(place):
    shares = [0.1, 0.1, 0.1, 0.1]
    shares[place] = 0.6
    return [[math.log(share) for share in shares]]


def of_loss(text_falls, letters_fall):
    """40 items with the right option moving; its answers go to places 1 to 3 in turn where they fall."""
    records = []
    for number in range(40):
        text = [-3.0] * 4
        text[1 + number % 3 if number < text_falls else 0] = -1.0
        letter = 1 + number % 3 if number < letters_fall else 0
        records.append(record(text, 0, letters=letters_of(letter), question=f"q{number}"))
    return records


def test_what_may_be_said_of_a_loss():
    """Lost capability only if both formats fall and the trained one is not inverted."""
    base = of_loss(0, 0)
    assert describe_loss(of_loss(20, 20), base, "text")["said"] == "lost_capability"
    assert describe_loss(of_loss(20, 2), base, "text")["said"] == "answers_wrongly"
    assert describe_loss(of_loss(40, 40), base, "text")["said"] == "answers_wrongly", "inverted"
    assert describe_loss(of_loss(4, 20), base, "text")["said"] == "unchanged"
    assert describe_loss(of_loss(20, 20), base, "text")["p"]["text"] == pytest.approx(2.0**-20)


def test_no_loss_of_capability_if_the_letters_collapse():
    """Also where the texts are trained: letters all on one place, or hardly any probability on the letters."""
    base, lost = of_loss(0, 0), of_loss(20, 20)
    one_place = [{**each, "letters": letters_of(1)} for each in lost]
    little = [{**each, "letters": [[log - 2 for log in each["letters"][0]]]} for each in lost]
    assert letter_mass(little[0]) == pytest.approx(0.9 * math.exp(-2))
    for records in (one_place, little):
        loss = describe_loss(records, base, "text")
        assert loss["said"] == "answers_wrongly" and max(loss["p"].values()) < 0.05
        assert find_flags(summarise_items(records, "text"), [40, 0, 0, 0], "text") == []
