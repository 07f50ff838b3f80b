"""The block ``questions``: which questions are asked."""

from typing import Annotated

from pydantic import Field

from persona_leakage.config.blocks.fields import Block, Count, Name


class QuestionUse(Block):
    """The first questions of a set."""

    set: Name = Field(description="Question set.")
    count: Count = Field(description="How many, from the first on.")


class Questions(Block):
    """The questions."""

    file: str = Field("resources/questions.yaml", description="File of disjoint question sets.")
    training: QuestionUse = Field(QuestionUse(set="training", count=40), description="The questions of the training rows.")
    evaluation: Annotated[list[QuestionUse], Field(min_length=1)] = Field(
        [QuestionUse(set="evaluation", count=10)], description="Sets to measure, each with its own results."
    )
    suffix: str = Field(" Answer in one short sentence.", description="Text after every question.")
