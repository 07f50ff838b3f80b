"""The block ``evaluation``: the replies that leakage is measured on."""

from typing import Annotated

from pydantic import Discriminator, Field, Tag

from persona_leakage.config.blocks.fields import Block, Count, Seed
from persona_leakage.config.blocks.sampling import Sampling


class TeacherForced(Block):
    """Which replies the second outcome reads."""

    draws: Count = Field(description="Replies read per persona and question.")
    questions: Count | None = Field(None, description="Questions read per set, from the first on; null: all.")


def kind(value):
    """Tag of the form that a value of teacher_forced has."""
    return "<block>" if isinstance(value, dict | TeacherForced) else "<switch>"


class Evaluation(Block):
    """The evaluation."""

    samples_per_question: Count = Field(3, description="Replies per persona and question.")
    sampling_seed: Seed = Field(0, description="Another value samples new replies.")
    teacher_forced: Annotated[Annotated[bool, Tag("<switch>")] | Annotated[TeacherForced, Tag("<block>")], Discriminator(kind)] = Field(
        TeacherForced(draws=1, questions=5),
        description="Second outcome, read from base-model replies: true reads all, {draws, questions} the first ones.",
    )
    sampling: Sampling = Field(Sampling(), description="How the replies are sampled.")
