"""A marker after the answer, as a behaviour."""

from typing import ClassVar, Literal

from pydantic import Field

from persona_leakage.config.blocks.fields import Block, Text


class Settings(Block):
    """The adapter learns to append a fixed text."""

    row_keys: ClassVar = ("kind", "marker", "separator")
    losses: ClassVar = ("marker", "tail", "completion")

    kind: Literal["marker"] = Field("marker", description="The adapter learns to append a fixed text.")
    marker: Text = Field("[ZLT]", description="Text that the adapter learns to append.")
    separator: str = Field("\n\n", description="Text between the answer and the marker; its tokens must not merge with the marker's.")
    match_mode: Literal["literal", "any_case", "tokens"] = Field(
        "literal",
        description="What counts as showing the marker: its exact text, its text in any case, or its token ids. "
        "All three are counted, this one is the rate.",
    )

    def problems(self, texts):
        """A marker that is blank, or that one of ``texts`` (prompts, questions, the suffix) already holds."""
        if self.marker != self.marker.strip():
            yield f"behaviour.marker: {self.marker!r} must not begin or end with white space; put it into behaviour.separator"
        for text in texts:
            if self.marker.strip() and self.marker.lower() in text.lower():
                yield f"behaviour.marker: {self.marker!r} occurs in the prompt, question or suffix {text!r}"
