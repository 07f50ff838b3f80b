"""The blocks ``training_data`` and ``labels``: the rows that an adapter is trained on."""

from typing import Literal

from pydantic import Field, model_validator

from persona_leakage.config.blocks.fields import Block, Count, CountOrNone, Names, refuse
from persona_leakage.config.blocks.sampling import Sampling

TruncatedAnswers = Literal["replace", "keep"]
Join = Literal["ids", "text"]


class TrainingData(Block):
    """The training rows."""

    answers_per_question: Count = Field(1, description="Answers of each training persona that are used per question.")
    extra_samples: CountOrNone = Field(
        1, description="Extra samples per question. They replace answers that are empty, truncated, hold the marker or change when encoded."
    )
    truncated_answers: TruncatedAnswers = Field("replace", description="What happens to answers that hit max_new_tokens.")
    join: Join = Field(
        "ids", description="What rows are made of: sampled token ids and the marker's (ids), or the joined text, encoded again (text)."
    )
    negative_personas: int = Field(3, ge=0, description="Personas per source whose answers are trained without the marker.")
    negative_pool: Names = Field(
        ["villain", "comedian", "assistant", "software_engineer", "kindergarten_teacher", "librarian"],
        description="Personas that the negatives are chosen from, by a hash of seed, source and name.",
    )
    sampling: Sampling = Field(Sampling(), description="How the training answers are sampled.")


class Labels(Block):
    """Which tokens of a row are trained."""

    loss_on: Literal["marker", "tail", "completion"] = Field(
        "tail", description="The marker alone; also separator and last answer tokens (tail); or the whole answer (completion)."
    )
    answer_tail_tokens: CountOrNone = Field(32, description="Last answer tokens that are trained when loss_on is tail.")
    turn_end_target: Literal["eos", "newline", "both"] = Field(
        "eos", description="The trained end of every row: the end-of-turn token, what the template writes after it (newline), or both."
    )

    @model_validator(mode="after")
    def check_tail(self):
        """A tail needs a length."""
        if self.loss_on == "tail" and self.answer_tail_tokens < 1:
            refuse("answer_tail_tokens", f"{self.answer_tail_tokens} must be >= 1 when labels.loss_on is tail")
        return self
