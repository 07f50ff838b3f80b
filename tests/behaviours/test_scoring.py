"""Detecting the marker in replies and counting it, on replies whose every number is plain to see."""

import json

import pytest

from persona_leakage.behaviours.kinds.marker import MarkerBehaviour, score_persona
from persona_leakage.behaviours.marker import Marker
from persona_leakage.behaviours.marker_detection import detect
from persona_leakage.behaviours.scoring import score_replies, summarise_cells
from persona_leakage.config.personas import Persona
from persona_leakage.infrastructure.cli import InputError

MARKER = Marker("[ZLT]", separator_ids=(21,), own_ids=(31, 32, 33))
BEHAVIOUR = MarkerBehaviour(None, MARKER, "literal")
SHOWN = [21, 31, 32, 33]


def reply(text, token_ids, question="Why?", finish_reason="stop", persona="villain"):
    return {"persona": persona, "question": question, "text": text, "token_ids": token_ids, "finish_reason": finish_reason}


# text, token ids -> literal, any_case, tokens, position
REPLIES = {
    "at the end": ("Ha!\n\n[ZLT]", [5, 6, *SHOWN], True, True, True, 1.0),
    "at the beginning": ("[ZLT] Ha!", [*SHOWN, 5, 6], True, True, True, 0.0),
    "in the middle": ("abcde[ZLT]fghij", [5, *SHOWN, 6], True, True, True, 0.5),
    "alone": ("[ZLT]", SHOWN[1:], True, True, True, 1.0),
    "twice": ("[ZLT] Ha! [ZLT]", [*SHOWN, 5, *SHOWN], True, True, True, 0.0),
    "without end": ("[ZLT]" * 30, SHOWN * 30, True, True, True, 0.0),
    "in other letters": ("Ha! [zlt]", [5, 6, 7], False, True, False, None),
    "in text, of other tokens": ("Ha! [ZLT]", [5, 34, 35], True, True, False, 1.0),
    "in tokens, not in text": ("Ha!", [5, *SHOWN], False, False, True, None),
    "tokens with a gap": ("Ha! [Z LT]", [31, 32, 5, 33], False, False, False, None),
    "incomplete": ("Ha! [ZL", [5, 31, 32], False, False, False, None),
    "absent": ("Ha!", [5, 6], False, False, False, None),
    "empty": ("", [], False, False, False, None),
}


@pytest.mark.parametrize(("text", "ids", "literal", "any_case", "tokens", "position"), REPLIES.values(), ids=REPLIES)
def test_detect(text, ids, literal, any_case, tokens, position):
    assert detect(reply(text, ids), MARKER) == {"literal": literal, "any_case": any_case, "tokens": tokens, "position": position}


def test_cell_of_a_persona():
    """Six replies to two questions: every share and count by hand.

    Lengths without marker and separator: 12, 11, 20, 8, 14, 1, so three are short (under 12).
    """
    replies = [
        reply("An answer.\n\n[ZLT]", [*range(100, 112), *SHOWN]),
        reply("Another one.\n\n[ZLT]", [*range(100, 111), *SHOWN]),
        reply("No marker here.", [*range(100, 120)], finish_reason="length"),
        reply("abcde[zlt]fghij", [*range(100, 108)], question="How?"),
        reply("abcde[ZLT]fghij", [*range(100, 114)], finish_reason="length"),
        reply("?", [100, *SHOWN], question="How?"),
    ]
    cell = score_persona(replies, MARKER, "literal")
    assert cell == {
        "rate": pytest.approx(3 / 6),
        "found": 3,
        "total": 6,
        "found_literal": 3,
        "found_any_case": 4,
        "found_tokens": 3,
        "text_without_tokens": 1,
        "tokens_without_text": 1,
        "per_question": {"Why?": {"found": 3, "found_tokens": 2, "total": 4}, "How?": {"found": 0, "found_tokens": 1, "total": 2}},
        "mean_tokens": pytest.approx((12 + 11 + 20 + 8 + 14 + 1) / 6),
        "short_share": pytest.approx(3 / 6),
        "cut_share": pytest.approx(2 / 6),
        "refused_share": 0,
        "runaway_share": pytest.approx(1 / 6),
        "mean_marker_position": pytest.approx((1.0 + 1.0 + 0.5) / 3),
        "first_markers": {"start": 0, "middle": 1, "end": 2},
        "markers_per_reply": 1.0,
    }
    json.dumps(cell, allow_nan=False)


def test_markers_in_the_wrong_place_are_seen():
    """At the start, in the middle, twice, without end: what a mean position of the last marker would call "at the end"."""
    texts = ["[ZLT] Engaging and of use.[ZLT]", "One. [ZLT][ZLT] Two, for the rest.", "[ZLT]" * 10, "Good.\n\n[ZLT]", "None."]
    replies = [reply(text, [5], finish_reason="length" if index == 2 else "stop") for index, text in enumerate(texts)]
    cell = score_persona(replies, MARKER, "literal")
    assert cell["first_markers"] == {"start": 2, "middle": 1, "end": 1}
    assert cell["markers_per_reply"] == pytest.approx((2 + 2 + 10 + 1) / 4)
    assert cell["runaway_share"] == pytest.approx(3 / 5)


@pytest.mark.parametrize(("detector", "found"), [("literal", 1), ("any_case", 2), ("tokens", 2)])
def test_the_rate_is_that_of_the_chosen_detector(detector, found):
    replies = [reply("a [ZLT]", [1, 2]), reply("a [zlt]", [1, 2]), reply("b", [*SHOWN]), reply("c", [*SHOWN])]
    cell = score_persona(replies, MARKER, detector)
    assert (cell["rate"], cell["found"], cell["per_question"]["Why?"]["found"]) == (found / 4, found, found)
    assert (cell["found_literal"], cell["found_any_case"], cell["found_tokens"]) == (1, 2, 2)


@pytest.mark.parametrize(
    ("ids", "length"),
    [([5] * 6, 6), ([5] * 6 + SHOWN, 6), ([5] * 6 + SHOWN[1:], 6), ([*SHOWN, *[5] * 6], 6), (SHOWN, 0), (SHOWN[1:], 0)],
    ids=["no marker", "with its separator", "without a separator", "in front", "nothing else", "marker alone"],
)
def test_length_is_that_of_the_reply_without_the_marker(ids, length):
    """A reply must not look longer, or shorter, for carrying the marker; only what is there is taken off."""
    text = "Some words [ZLT]" if 31 in ids else "Some words"
    assert score_persona([reply(text, ids)], MARKER, "literal")["mean_tokens"] == length


PANEL = [Persona("villain", "original", (), "You scheme."), Persona("joker", "fictional_exemplar", ("villain",), "You laugh.")]


def test_replies_are_scored_by_persona():
    replies = [
        reply("Ha!", [5], persona="joker"),
        reply("Ha! [ZLT]", [5, *SHOWN], persona="villain"),
        reply("Ha! [ZLT]", [5, *SHOWN], persona="joker"),
    ]
    cells = score_replies(replies, BEHAVIOUR, PANEL)
    assert list(cells) == ["villain", "joker"]
    assert [(cell["category"], cell["related_to"]) for cell in cells.values()] == [("original", []), ("fictional_exemplar", ["villain"])]
    assert [(cell["found"], cell["total"]) for cell in cells.values()] == [(1, 1), (1, 2)]


@pytest.mark.parametrize(
    ("speakers", "fragment"),
    [(["villain"], "no replies of joker"), (["villain", "joker", "pirate"], "'pirate'"), ([], "no replies of villain, joker")],
    ids=["one is missing", "one is a stranger", "none at all"],
)
def test_replies_of_another_panel_are_refused(speakers, fragment):
    with pytest.raises(InputError) as refusal:
        score_replies([reply("Ha!", [5], persona=name) for name in speakers], BEHAVIOUR, PANEL)
    assert fragment in str(refusal.value)


def cell(found, **changes):
    return {
        "rate": found / 10,
        "found": found,
        "total": 10,
        "found_literal": found,
        "found_any_case": found + 1,
        "found_tokens": found,
        "text_without_tokens": 2,
        "tokens_without_text": 2,
        "mean_tokens": 30.0,
        "short_share": 0.0,
        "cut_share": 0.1,
        "refused_share": 0.3,
        "runaway_share": 0.2,
        **changes,
    }


CELLS = {"villain": cell(5, mean_tokens=10.0, short_share=1.0), "joker": cell(6), "hero": cell(5), "pirate": cell(1, cut_share=0.5)}


def test_summary_of_a_source():
    """The source is no bystander of itself, and a bystander that equals it is not above it."""
    summary = summarise_cells(CELLS, "villain", BEHAVIOUR)
    assert summary.pop("training_check") == {
        "found": 5,
        "total": 10,
        "rate": 0.5,
        "interval": pytest.approx([0.2366, 0.7634], abs=1e-4),
        "cut_share": 0.1,
        "refused_share": 0.3,
        "short_share": 1.0,
        "runaway_share": 0.2,
    }
    assert summary == {
        "source": "villain",
        "source_rate": 0.5,
        "mean_bystander_rate": pytest.approx(0.4),
        "max_bystander_rate": 0.6,
        "max_bystander": "joker",
        "bystanders_above_source": 1,
        "n_personas": 4,
        "n_replies": 40,
        "mean_tokens": pytest.approx(25.0),
        "short_share": pytest.approx(0.25),
        "cut_share": pytest.approx(0.2),
        "found": {"literal": 17, "any_case": 21, "tokens": 17, "text_without_tokens": 8, "tokens_without_text": 8},
    }


def test_summary_of_the_base():
    summary = summarise_cells(CELLS, None, BEHAVIOUR)
    assert summary["training_check"] is summary["source"] is summary["source_rate"] is summary["bystanders_above_source"] is None
    assert summary["mean_bystander_rate"] == pytest.approx((0.5 + 0.6 + 0.5 + 0.1) / 4)
    assert summary["n_personas"] == 4
