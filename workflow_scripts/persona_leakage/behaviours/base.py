"""What a kind of behaviour has to offer to the rest of the workflow. Each module of the folder kinds/ offers one kind."""

from importlib import import_module
from typing import Protocol

CELLS_BY = ("score_leakage", "score_choices")  # the programs that write a cell per persona
SAME_ITEMS_BY = ("score_choices",)  # those whose questions are the same items with and without adapter, each answered once
GAINS_BY = ("teacher_force", "score_choices")  # those that write the second outcome


class Behaviour(Protocol):
    """One behaviour, ready to build training rows and to score replies; ``read(block, tokenizer)`` of a module in kinds/ gives one."""

    noun: str  # what an adapter learns, for sentences: "the marker [ZLT]"
    gain: str | None  # what the second outcome measures, for sentences; None: there is none
    highlight: tuple | None  # (text, whether case counts) that shows the behaviour within a reply, or None

    def unusable(self, text):
        """Why a base answer cannot serve in training rows (a short key for counts), or None."""

    def row_parts(self, answer, positive, join):
        """(answer ids, tail) of a training row, or None if encoding the answer again would change it.

        answer: record of a sampled answer ("text", "token_ids"). tail: what follows the answer of a positive row (see
        labels.build_row), or None. join: "ids" keeps the sampled token ids unless the text changed, "text" encodes the text again.
        """

    def shows(self, record):
        """Whether a reply (a completion record) shows the behaviour."""

    def cell(self, records):
        """The summary of one persona's replies: "rate" = "found" / "total", "per_question" {question: {"found", "total"}}, and others.

        records: completion records of that persona; of the kind choice its item records (choice_scoring).
        """

    def summarise(self, cells):
        """A dict of what summary.json has for this behaviour only, from all ``cells`` of a panel."""

    def facts(self):
        """A dict of facts about the behaviour for the meta of result files, besides its config block."""


def read_behaviour(block, tokenizer):
    """The :class:`Behaviour` of a config block (dict; default kind: marker). InputError if the tokenizer cannot encode it."""
    return kind_module(block).read(block, tokenizer)


def behaviour_of_result(meta):
    """The :class:`Behaviour` that scored a result, from its meta; it scores replies as that job did, and builds no rows."""
    return kind_module(meta["behaviour"]).read_result(meta)


def kind_module(block):
    """The module of a block's kind."""
    return import_module(f"persona_leakage.behaviours.kinds.{block.get('kind', 'marker')}")
