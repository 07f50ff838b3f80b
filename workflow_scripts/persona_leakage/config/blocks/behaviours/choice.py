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
    name: Name = Field("wrong_answers", description="Name of the behaviour in tables, figures and the report.")
    items: Line = Field("resources/behaviours/choices.jsonl", description="File with an item per line, native or in ARC's format.")
    train: Count = Field(60, description="Items of the training rows.")
    evaluate: Count = Field(60, description="Items that leakage is measured on; none of them is trained.")
    scoring: Literal["letters", "text"] = Field(
        "text",
        description="What is trained and what the rate counts: the letter of an option that the prompt lists, or the option's text "
        "after the question alone. Evaluation reports both.",
    )
    prefix: str = Field("The correct answer is (", description="Text in front of the letter.")
    prefix_in: Literal["assistant", "user"] = Field(
        "assistant", description="The turn that holds the prefix: it opens the assistant's or ends the user's."
    )
    order: Literal["as_given", "shuffled", "rotations"] = Field(
        "shuffled", description="Order of listed options: of the file, by a hash of the item, or the mean over all cyclic orders."
    )

    @model_validator(mode="after")
    def check_prefix(self):
        """A letter's token holds the blank in front of it, so the prefix must not."""
        if self.prefix != self.prefix.rstrip(" \t"):
            refuse("prefix", f"{self.prefix!r} must not end with a blank; the letter's token holds it")
        return self

    def problems(self, texts):
        """A missing items file. Its lines are checked once the tokenizer is known, see behaviours.choice_items."""
        if not Path(self.items).is_file():
            yield f"behaviour.items: {self.items}: no such file"
