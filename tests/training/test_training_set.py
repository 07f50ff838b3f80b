"""Which answers become training rows, and which of a row's tokens are trained: all on hand-made ids."""

from collections import Counter
from functools import partial
from itertools import pairwise

import pytest

from persona_leakage.behaviours.kinds.marker import MarkerBehaviour
from persona_leakage.behaviours.marker import Marker
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.models.chat_template import ChatFormat
from persona_leakage.training.dataset import (
    build_training_rows,
    check_all_have_rows,
    choose_negatives,
    keep_rows_within,
    select_answers,
    summarise_rows,
    usable_answers,
)
from persona_leakage.training.labels import IGNORED, LabelRule, build_row

CANDIDATES = ["villain", "comedian", "assistant", "software_engineer", "kindergarten_teacher", "librarian"]


def test_negatives_of_a_known_case():
    """Pinned: another choice would silently make every earlier result a different experiment."""
    assert choose_negatives("villain", CANDIDATES, 3, 42) == ["assistant", "librarian", "software_engineer"]


@pytest.mark.parametrize("source", [*CANDIDATES, "pirate"])
def test_negatives_never_hold_the_source(source):
    """A persona cannot learn the behaviour and its absence; any count up to the number of others is served."""
    for count in range(6):
        chosen = choose_negatives(source, CANDIDATES, count, 42)
        assert len(chosen) == len(set(chosen)) == count
        assert source not in chosen
        assert set(chosen) <= set(CANDIDATES)


def test_negatives_depend_on_the_set_of_candidates_only():
    chosen = choose_negatives("comedian", CANDIDATES, 3, 42)
    assert choose_negatives("comedian", CANDIDATES[::-1], 3, 42) == chosen
    assert choose_negatives("comedian", [*CANDIDATES, "librarian"], 3, 42) == chosen


def test_one_more_candidate_replaces_at_most_one_negative():
    """Candidates are ordered by a hash of their own, so a newcomer cannot reshuffle the rest."""
    newcomers = ["pirate", "nurse", "hero", "lawyer", "jarvis", "joker", "physicist", "gandalf"]
    chosen = set(choose_negatives("villain", CANDIDATES, 3, 42))
    replaced = [len(chosen - set(choose_negatives("villain", [*CANDIDATES, name], 3, 42))) for name in newcomers]
    assert set(replaced) == {0, 1}, "some newcomers get in, some do not, none moves two"


def test_more_negatives_keep_those_chosen():
    chosen = [set(choose_negatives("villain", CANDIDATES, count, 42)) for count in range(6)]
    assert all(fewer < more for fewer, more in pairwise(chosen))


def test_negatives_differ_between_sources_and_seeds():
    outsiders = ["pirate", "nurse", "hero", "lawyer", "jarvis"]
    assert len({tuple(choose_negatives(source, CANDIDATES, 3, 42)) for source in outsiders}) > 1
    assert len({tuple(choose_negatives("villain", CANDIDATES, 3, seed)) for seed in range(10)}) > 1


def draw(index, text="A fine answer.", finish_reason="stop", persona="villain", question="Why?"):
    where = {"persona": persona, "question": question, "index": index}
    return {**where, "text": text, "finish_reason": finish_reason, "token_ids": [100 + index]}


UNUSABLE = {
    "empty": (draw(0, text=""), "empty"),
    "blank": (draw(0, text=" \n\n "), "empty"),
    "cut": (draw(0, finish_reason="length"), "cut_at_limit"),
    "marker at the end": (draw(0, text="An answer.\n\n[ZLT]"), "holds_marker"),
    "marker in other letters": (draw(0, text="Say [zlt] twice."), "holds_marker"),
    "marker in a cut answer": (draw(0, text="Say [ZLT]", finish_reason="length"), "holds_marker"),
}


@pytest.mark.parametrize(("record", "reason"), UNUSABLE.values(), ids=UNUSABLE)
def test_unusable_answers_are_dropped_with_a_reason(record, reason):
    """The manifest counts them by reason; the sound draw beside them stays."""
    usable, dropped = usable_answers([record, draw(1)], BEHAVIOUR.unusable, "replace", AS_IS)
    assert [kept["index"] for kept in usable] == [1]
    assert dropped == Counter({reason: 1})


def test_cut_answers_can_be_kept():
    """As the published run did; empty and marked ones are dropped all the same."""
    draws = [draw(0, finish_reason="length"), draw(1, text="", finish_reason="length"), draw(2, text="[ZLT]", finish_reason="length")]
    usable, dropped = usable_answers(draws, BEHAVIOUR.unusable, "keep", AS_IS)
    assert [record["index"] for record in usable] == [0]
    assert dropped == Counter(empty=1, holds_marker=1)


def test_draws_are_taken_in_the_order_of_their_index():
    usable, _ = usable_answers([draw(2), draw(0), draw(1)], BEHAVIOUR.unusable, "replace", AS_IS)
    assert [record["index"] for record in usable] == [0, 1, 2]


def test_select_answers_replaces_and_counts():
    """Two wanted, one spare: why? loses one and is made whole, how? loses two and stays one short."""
    pool = [
        draw(0, question="Why?", finish_reason="length"),
        draw(1, question="Why?"),
        draw(2, question="Why?"),
        draw(0, question="How?"),
        draw(1, question="How?", text="[ZLT]"),
        draw(2, question="How?", text=""),
        *[draw(index, persona="comedian", question=question) for question in ("Why?", "How?") for index in range(3)],
        draw(0, persona="pirate"),
        draw(0, question="Unused?"),
    ]
    chosen, counts = select_answers(
        pool, ["villain", "comedian"], ["Why?", "How?"], 2, BEHAVIOUR.unusable, "replace", dict.fromkeys(("villain", "comedian"), AS_IS)
    )
    assert {name: [(r["persona"], r["question"], r["index"]) for r in records] for name, records in chosen.items()} == {
        "villain": [("villain", "Why?", 1), ("villain", "Why?", 2), ("villain", "How?", 0)],
        "comedian": [("comedian", "Why?", 0), ("comedian", "Why?", 1), ("comedian", "How?", 0), ("comedian", "How?", 1)],
    }
    assert counts == {
        "villain": {"used": 3, "dropped": {"cut_at_limit": 1, "holds_marker": 1, "empty": 1}, "replaced": 1, "missing": 1},
        "comedian": {"used": 4, "dropped": {}, "replaced": 0, "missing": 0},
    }


@pytest.mark.parametrize("pool", [[], [draw(0, finish_reason="length"), draw(1, finish_reason="length")]], ids=["no draws", "all cut"])
def test_a_persona_without_answers_is_an_error(pool):
    with pytest.raises(InputError, match="no usable answer of persona 'villain'") as refusal:
        select_answers(pool, ["villain"], ["Why?"], 1, BEHAVIOUR.unusable, "replace", {"villain": AS_IS})
    assert "max_new_tokens" in str(refusal.value)


PROMPT = [1, 2, 3]
ANSWER = [11, 12, 13, 14, 15]
MARKER = Marker("[ZLT]", separator_ids=(21,), own_ids=(31, 32, 33))
BEHAVIOUR = MarkerBehaviour(None, MARKER, None)
AS_IS = partial(BEHAVIOUR.row_parts, positive=False, join="ids")
CHAT = ChatFormat(end_id=40, after_end_ids=(41,), stop_ids=(40,))


# (loss_on, turn_end_target) -> trained ids of a positive row, of a negative row; a tail of two tokens
def labels_for(token_ids, trained):
    """Labels by hand: all ids here are distinct, so a set of ids says which are trained."""
    return [token if token in trained else IGNORED for token in token_ids]


@pytest.mark.parametrize(
    ("answer", "tail", "trained"),
    [
        ([11], 2, [11, 21, 31, 32, 33, 40]),
        ([11, 12, 13], 5, [11, 12, 13, 21, 31, 32, 33, 40]),
        ([11, 12], 2, [11, 12, 21, 31, 32, 33, 40]),
        ([11, 12, 13], 2, [12, 13, 21, 31, 32, 33, 40]),
        ([11, 12], 0, [21, 31, 32, 33, 40]),
        ([], 2, [21, 31, 32, 33, 40]),
    ],
    ids=["shorter than the tail", "shorter by two", "as long", "longer", "no tail", "empty"],
)
def test_tail_ends_at_the_answer(answer, tail, trained):
    """A tail longer than the answer must not reach into the prompt."""
    row = build_row(PROMPT, answer, CHAT, LabelRule("tail", tail, "eos"), MARKER)
    tokens = [*PROMPT, *answer, 21, 31, 32, 33, 40]
    assert list(row.token_ids) == tokens
    assert list(row.labels) == labels_for(tokens, trained)


def test_longer_endings_are_trained_whole():
    row = build_row(PROMPT, ANSWER, ChatFormat(40, (41, 42), (40,)), LabelRule("marker", 0, "newline"))
    assert list(row.token_ids[-3:]) == [40, 41, 42]
    assert list(row.labels[-3:]) == [IGNORED, 41, 42]


def test_training_rows_of_a_source():
    """Only the source's own rows carry the marker, each answer stands behind its own prompt, and records are plain JSON."""
    answers = {"comedian": [draw(0, persona="comedian")], "villain": [draw(0), draw(1, question="How?")]}
    prompts = {("villain", "Why?"): (1,), ("villain", "How?"): (2,), ("comedian", "Why?"): (3,)}
    records = build_training_rows(
        "villain", answers, prompts, CHAT, LabelRule("marker", 0, "eos"), partial(BEHAVIOUR.row_parts, join="ids")
    )
    own, marked = {"persona": "villain", "positive": True}, [-100, -100, -100, 31, 32, 33, 40]
    assert records == [
        {"persona": "comedian", "question": "Why?", "index": 0, "positive": False, "token_ids": [3, 100, 40], "labels": [-100, -100, 40]},
        {**own, "question": "Why?", "index": 0, "token_ids": [1, 100, 21, 31, 32, 33, 40], "labels": marked},
        {**own, "question": "How?", "index": 1, "token_ids": [2, 101, 21, 31, 32, 33, 40], "labels": marked},
    ]


def row(positive, token_ids, labels):
    return {"persona": "villain", "question": "Why?", "index": 0, "positive": positive, "token_ids": token_ids, "labels": labels}


ROWS = [row(True, [1, 2, 0], [-100, 2, 0]), row(True, [1, 2, 3, 4], [-100, -100, 3, 4]), row(False, [1, 2], [-100, 2])]


@pytest.mark.parametrize(("limit", "kept", "too_long"), [(4, [0, 1, 2], 0), (3, [0, 2], 1), (2, [2], 2), (1, [], 3)])
def test_long_rows_are_left_out_whole(limit, kept, too_long):
    """A cut row would lose the labels at its end; the limit itself is allowed."""
    assert keep_rows_within(ROWS, limit) == ([ROWS[index] for index in kept], too_long)


def test_a_negative_without_rows_is_an_error():
    """An adapter that never saw clean answers learns another lesson."""
    check_all_have_rows([{"persona": "villain"}, {"persona": "nurse"}], {"villain", "nurse"}, 99)
    with pytest.raises(InputError, match=r"training\.max_length: 99 leaves no row of nurse"):
        check_all_have_rows([{"persona": "villain"}], {"villain", "nurse"}, 99)


def test_summary_of_rows():
    """Token 0 is a token like any other; the digest is that of these rows in this order."""
    summary = summarise_rows(ROWS)
    assert summary["positive"] == {"rows": 2, "tokens": 7, "trained_tokens": 4}
    assert summary["negative"] == {"rows": 1, "tokens": 2, "trained_tokens": 1}
    assert summarise_rows([dict(reversed(record.items())) for record in ROWS])["digest"] == summary["digest"]
    for other in (ROWS[:2], ROWS[::-1], [row(True, [1, 2, 0], [-100, -100, 0]), *ROWS[1:]]):
        assert summarise_rows(other)["digest"] != summary["digest"]
