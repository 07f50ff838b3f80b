"""The block ``behaviour``: what the adapters learn."""

from typing import Literal

from pydantic import Field

from persona_leakage.config.blocks.fields import Block, Text


class TrainedBehaviour(Block):
    """What the training rows need of the behaviour."""

    marker: Text = Field("[ZLT]", description="Text that sources learn to append.")
    separator: str = Field("\n\n", description="Text before the marker; their tokens must not merge.")


class Behaviour(TrainedBehaviour):
    """The behaviour."""

    match_mode: Literal["literal", "any_case", "tokens"] = Field(
        "literal",
        description="How the rate counts the marker: exact text, text in any case, or token ids.",
    )
