"""The kind ``choice``: the adapter learns to answer multiple-choice items wrongly; nothing is sampled."""

from dataclasses import dataclass
from typing import Any

from persona_leakage.behaviours.choice_prompts import letter_ids
from persona_leakage.behaviours.choice_scoring import summarise_items, summarise_panel

LETTERS = 4  # of most items; those with more are checked when they are put into a prompt


@dataclass(frozen=True)
class ChoiceBehaviour:
    """See behaviours.base.Behaviour; its rows are made of items (training.choice_rows), so it takes no answers. block: of the config."""

    block: Any

    @property
    def noun(self):
        """What the adapter learns."""
        return self.block.get("name", "wrong answers").replace("_", " ")

    gain = "the fall in the right option's log-odds on the same items"
    highlight = None

    def cell(self, records):
        """Wrong answers of one persona, see summarise_items."""
        return summarise_items(records, self.block["scoring"])

    def summarise(self, cells):
        """Accuracies, places of the predictions and flags of the panel."""
        return summarise_panel(cells)

    def facts(self):
        """Nothing beyond the block of the config."""
        return {}


def read(block, tokenizer):
    """The behaviour of a block, see config.blocks.behaviours.choice. InputError if letters are trained that merge with the prefix."""
    if block["scoring"] == "letters" and getattr(tokenizer, "chat_template", None):
        letter_ids(tokenizer, block["prefix"], block["prefix_in"], LETTERS)
    return ChoiceBehaviour(block)


def read_result(meta):
    """The behaviour of a scored result."""
    return ChoiceBehaviour(meta["behaviour"])
