"""A property of a reply's text that a rule can decide, as a behaviour."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from persona_leakage.config.blocks.fields import Block, Line, Name, Number, Text, refuse

# Lowest and highest number of a scorer; None: no limit.
RANGES = {
    **dict.fromkeys(("capitals", "bullets", "refusal", "language"), (0, 1)),
    **dict.fromkeys(("length", "regex"), (0, None)),
    "lexicon": (None, None),
}
PARAMETERS = {"regex": "pattern", "language": "language", "lexicon": "lexicon"}


class Settings(Block):
    """The adapter learns a property of replies that a rule can measure."""

    row_keys: ClassVar = ("kind", "transform")
    losses: ClassVar = ("tail", "completion")

    kind: Literal["scored"] = Field(description="Replies scored by a rule.")
    name: Name = Field(description="Scored: name of the behaviour in the report.")
    scorer: Literal["capitals", "bullets", "length", "regex", "refusal", "language", "lexicon"] = Field(
        description="Scored: the rule that gives each reply a number."
    )
    threshold: Number = Field(description="Scored: a reply shows the behaviour at this number or beyond.")
    measure: Literal["share", "mean"] = Field(
        "share",
        description="Scored: leakage is the change of the share beyond the threshold, or of the mean score.",
    )
    direction: Literal["high", "low"] = Field("high", description="Scored: beyond is above (high) or below (low).")
    transform: Literal["capitals"] | None = Field(None, description="Scored: how a base answer becomes a positive row.")
    pattern: Text | None = Field(None, description="Expression of the scorer regex.")
    language: Text | None = Field(None, description="Code of the scorer language, such as fr.")
    lexicon: Line | None = Field(None, description="File of the scorer lexicon: word, tab, weight.")

    @model_validator(mode="after")
    def check_parameters(self):
        """A scorer has its own parameter, and no other."""
        for scorer, key in PARAMETERS.items():
            value = getattr(self, key)
            if value is None and scorer == self.scorer:
                refuse(key, f"missing; the scorer '{scorer}' needs it")
            if value is not None and scorer != self.scorer:
                refuse(key, f"{value!r} is for the scorer '{scorer}', but behaviour.scorer is '{self.scorer}'; leave it out")
        return self

    @model_validator(mode="after")
    def check_threshold(self):
        """The threshold lies within the scorer's range, so that some replies show the behaviour and some do not."""
        low, high = RANGES[self.scorer]
        above, below = (low is not None and self.threshold <= low), (high is not None and self.threshold >= high)
        beyond = (low is not None and self.threshold < low) or (high is not None and self.threshold > high)
        if beyond or (above if self.direction == "high" else below):
            allowed = f"from {low}" + (f" to {high}" if high is not None else " up")
            refuse(
                "threshold",
                f"with {self.threshold} and direction {self.direction}, all replies or none show the behaviour:"
                f" the scorer '{self.scorer}' gives numbers {allowed}",
            )
        return self

    @property
    def needs_rows(self):
        """Base answers alone make no positive rows."""
        return self.transform is None

    def problems(self, texts):
        """A missing lexicon."""
        if self.lexicon and not Path(self.lexicon).is_file():
            yield f"behaviour.lexicon: {self.lexicon}: no such file"
