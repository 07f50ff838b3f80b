"""A marker after the answer, as a behaviour."""

from typing import ClassVar, Literal

from pydantic import Field

from persona_leakage.config.blocks.fields import Block, Text


class Settings(Block):
    """The adapter learns to append a fixed text."""

    row_keys: ClassVar = ("kind", "marker", "separator")
    losses: ClassVar = ("marker", "tail", "completion")
    text_keys: ClassVar = ("marker", "separator")
    has_base_rate: ClassVar = False
    cells_file: ClassVar = "marker_eval.json"
    position: ClassVar = ("mean_marker_position", "the marker")

    kind: Literal["marker"] = Field(
        "marker",
        description="Kind of behaviour: a text after the answer, replies scored by a rule or judged by a model, or multiple-choice items.",
    )
    marker: Text = Field("[ZLT]", description="Text that sources learn to append.")
    separator: str = Field("\n\n", description="Text before the marker; their tokens must not merge.")
    match_mode: Literal["literal", "any_case", "tokens"] = Field(
        "literal",
        description="How the rate counts the marker: exact text, text in any case, or token ids.",
    )

    def problems(self, texts):
        """A marker that is blank, or that one of ``texts`` (prompts, questions, the suffix) already holds."""
        if self.marker != self.marker.strip():
            yield f"behaviour.marker: {self.marker!r} must not begin or end with white space; put it into behaviour.separator"
        for text in texts:
            if self.marker.strip() and self.marker.lower() in text.lower():
                yield f"behaviour.marker: {self.marker!r} occurs in the prompt, question or suffix {text!r}"
