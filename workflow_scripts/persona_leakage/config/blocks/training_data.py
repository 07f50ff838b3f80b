"""The blocks ``training_data`` and ``labels``: the rows that an adapter is trained on."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from persona_leakage.config.blocks.fields import (
    VARIANT,
    Block,
    Count,
    CountOrNone,
    Line,
    Name,
    Names,
    check_unique,
    entries,
    form,
    refuse,
)
from persona_leakage.config.blocks.sampling import Sampling

TruncatedAnswers = Literal["replace", "keep"]
Join = Literal["ids", "text"]
Control = Literal["clean", "shuffled"]
Closeness = Literal["nearest", "farthest", "spread"]
NegativeChoice = Literal["hash", Closeness, "list"]
NegativeCount = Annotated[
    Annotated[int, Field(ge=0)] | Literal["all"], form("a whole number from 0 on or the word all (the whole negative_pool)")
]


def read_variant(text):
    """(choice, number or "all") of an entry of negative_variants: "nearest2" is ("nearest", 2)."""
    choice, number = re.fullmatch(VARIANT, text).groups()
    return choice, number if number == "all" else int(number)


class TrainingData(Block):
    """The training rows."""

    answers_per_question: Count = Field(1, description="Answers used per persona and question.")
    extra_samples: CountOrNone = Field(1, description="Extra samples per question, to replace unusable answers.")
    truncated_answers: TruncatedAnswers = Field("replace", description="What to do with truncated answers.")
    join: Join = Field("ids", description="Join sampled token ids, or re-encode the joined text.")
    negative_personas: NegativeCount = Field(3, description="Negatives per source; all: the whole negative_pool.")
    negative_pool: Names = Field(
        ["villain", "comedian", "assistant", "software_engineer", "kindergarten_teacher", "librarian"],
        description="Negatives are chosen from these.",
    )
    negative_choice: NegativeChoice = Field(
        "hash", description="How: by a hash of seed, source and name, by closeness to the source, or as listed; see optional_analyses.md."
    )
    negative_lists: dict[Name, Annotated[list[Name], entries(), AfterValidator(check_unique)]] = Field(
        {}, description="With negative_choice list: the negatives of each source, in place of negative_personas."
    )
    negative_variants: Annotated[list[Annotated[str, Field(pattern=VARIANT)]], entries(), AfterValidator(check_unique)] = Field(
        [], description="Also train each source with other negatives, such as nearest2 or hashall, and compare."
    )
    rows: Line | None = Field(None, description="File of rows to use instead of base answers; see behaviours.md.")
    clean_rows: Line | None = Field(None, description="File with the clean answers to the same questions.")
    positives: Count | None = Field(None, description="Rows of the file used per persona; null: all.")
    controls: Annotated[list[Control], entries(), AfterValidator(check_unique)] = Field(
        [], description="Also train each source with clean rows alone, or with its rows shuffled over the panel; see behaviours.md."
    )
    sampling: Sampling = Field(Sampling(), description="How the training answers are sampled.")


class Labels(Block):
    """Which tokens of a row are trained."""

    loss_on: Literal["marker", "tail", "completion"] = Field(
        "tail", description="marker alone; tail: also separator and last answer tokens; completion: the whole answer."
    )
    answer_tail_tokens: CountOrNone = Field(32, description="Answer tokens trained with loss_on: tail.")
    turn_end_target: Literal["eos", "newline", "both"] = Field(
        "eos", description="Trained end of a row: end-of-turn token, the newline after it, or both."
    )

    @model_validator(mode="after")
    def check_tail(self):
        """A tail needs a length."""
        if self.loss_on == "tail" and self.answer_tail_tokens < 1:
            refuse("answer_tail_tokens", f"{self.answer_tail_tokens} must be >= 1 when labels.loss_on is tail")
        return self
