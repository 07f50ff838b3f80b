"""The block ``evaluation``: the replies that leakage is measured on."""

from typing import Annotated

from pydantic import Discriminator, Field, Tag

from persona_leakage.config.blocks.fields import Block, Count, Seed
from persona_leakage.config.blocks.sampling import Sampling


class TeacherForced(Block):
    """Which replies the second outcome reads."""

    draws: Count = Field(description="The first replies of each persona and question.")
    questions: Count | None = Field(None, description="Only the first questions of each set; null takes all.")


def kind(value):
    """Tag of the form that a value of teacher_forced has."""
    return "<block>" if isinstance(value, dict | TeacherForced) else "<switch>"


class Evaluation(Block):
    """The evaluation."""

    samples_per_question: Count = Field(3, description="Replies of each persona to each question.")
    sampling_seed: Seed = Field(0, description="Another value gives new replies of the same adapters.")
    teacher_forced: Annotated[Annotated[bool, Tag("<switch>")] | Annotated[TeacherForced, Tag("<block>")], Discriminator(kind)] = Field(
        TeacherForced(draws=1, questions=5),
        description="The second outcome, the marker's log-probability after the base model's own replies: "
        "true reads all replies, {draws, questions} the first ones, false none.",
    )
    sampling: Sampling = Field(Sampling(), description="How the replies are sampled.")
