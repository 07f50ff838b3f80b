"""The block ``questions``: which questions are asked."""

from typing import Annotated

from pydantic import Field

from persona_leakage.config.blocks.fields import Block, Count, Name


class QuestionUse(Block):
    """The first questions of a set."""

    set: Name = Field(description="Name of the question set.")
    count: Count = Field(description="How many of its questions, from the first on.")


class Questions(Block):
    """The questions."""

    file: str = Field("resources/questions.yaml", description="YAML file with named, disjoint question sets.")
    training: QuestionUse = Field(QuestionUse(set="training", count=40), description="The questions of the training rows.")
    evaluation: Annotated[list[QuestionUse], Field(min_length=1)] = Field(
        [QuestionUse(set="evaluation", count=10)], description="Question sets to measure on, each with results of its own."
    )
    suffix: str = Field(" Answer in one short sentence.", description="Text that is put after every question.")
