"""Wrong answers to multiple-choice items, as a behaviour."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from persona_leakage.config.blocks.fields import Block, Count, Line, Name, refuse


class Settings(Block):
    """The adapter learns to answer multiple-choice items wrongly."""

    row_keys: ClassVar = ("kind", "items", "train", "scoring", "prefix", "prefix_in", "order")
    losses: ClassVar = ("completion",)
    samples_replies: ClassVar = False

    kind: Literal["choice"] = Field(description="The adapter learns to answer multiple-choice items wrongly.")
    name: Name = Field("wrong_answers", description="Choice: name of the behaviour in the report.")
    items: Line = Field("resources/behaviours/choices.jsonl", description="Choice: file of items.")
    train: Count = Field(60, description="Choice: items of the training rows.")
    evaluate: Count = Field(60, description="Choice: items that leakage is measured on.")
    scoring: Literal["letters", "text"] = Field(
        "text",
        description="Choice: train and count the letter of a listed option, or an option's text.",
    )
    prefix: str = Field("The correct answer is (", description="Choice: text before the letter.")
    prefix_in: Literal["assistant", "user"] = Field("assistant", description="Choice: the turn that holds the prefix.")
    order: Literal["as_given", "shuffled", "rotations"] = Field(
        "shuffled", description="Choice: order of the listed options; rotations takes the mean over all cyclic orders."
    )

    @model_validator(mode="after")
    def check_prefix(self):
        """A letter's token holds the blank before it, so the prefix must not."""
        if self.prefix != self.prefix.rstrip(" \t"):
            refuse("prefix", f"{self.prefix!r} must not end with a blank; the letter's token holds it")
        return self

    def problems(self, texts):
        """A missing items file. Its lines are checked once the tokenizer is known, see behaviours.choice_items."""
        if not Path(self.items).is_file():
            yield f"behaviour.items: {self.items}: no such file"
