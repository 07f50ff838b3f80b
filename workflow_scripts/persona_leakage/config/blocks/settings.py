"""Parts that the ``--settings`` of several programs share; each program composes its own settings of them and of the blocks."""

from typing import Literal

from pydantic import model_validator

from persona_leakage.config.blocks.fields import Block, Count, Name, Seed, refuse
from persona_leakage.config.blocks.geometry import Layer
from persona_leakage.config.blocks.personas import NoPersonaPrompt
from persona_leakage.config.blocks.sampling import Sampling
from persona_leakage.config.blocks.training_data import Closeness


class PersonaSelection(Block):
    """Personas that a job uses, with a digest of the fields that it reads (see selections)."""

    names: list[str] | Literal["all"]
    fields: list[str]
    digest: str


class QuestionSelection(Block):
    """Questions that a job uses, with a digest of their texts (see selections)."""

    set: Name
    count: Count
    digest: str


class ChosenNegatives(Block):
    """How many negatives are chosen among a job's personas by closeness, and how."""

    choice: Closeness
    count: Count


class Prompts(Block):
    """The prompts of a job: every question with every persona, or with every prompt that has no persona."""

    personas: PersonaSelection | None = None
    no_persona_prompts: list[NoPersonaPrompt] | None = None
    questions: QuestionSelection
    suffix: str

    @model_validator(mode="after")
    def check_one_kind(self):
        """Either kind of prompts."""
        if (self.personas is None) == (self.no_persona_prompts is None):
            refuse("personas", "give this key or no_persona_prompts, one of the two")
        return self


class SampledPrompts(Prompts):
    """Prompts with sampled replies: ``draws`` to each."""

    seed: Seed
    draws: Count
    sampling: Sampling


class Headline(Block):
    """Settings of programs that read one layer of a pairs table."""

    headline_layer: Layer | None = None
