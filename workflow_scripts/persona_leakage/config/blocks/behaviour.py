"""The block ``behaviour``: what the adapters learn."""

from typing import Literal

from pydantic import Field

from persona_leakage.config.blocks.fields import Block, Text


class TrainedBehaviour(Block):
    """What the training rows need of the behaviour."""

    marker: Text = Field("[ZLT]", description="Text that the adapter learns to append.")
    separator: str = Field("\n\n", description="Text between the answer and the marker; its tokens must not merge with the marker's.")


class Behaviour(TrainedBehaviour):
    """The behaviour."""

    match_mode: Literal["literal", "any_case", "tokens"] = Field(
        "literal",
        description="What counts as showing the marker: its exact text, its text in any case, or its token ids. "
        "All three are counted, this one is the rate.",
    )
