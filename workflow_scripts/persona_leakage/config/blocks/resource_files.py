"""The resource files that people edit: personas, questions and measured rates."""

from typing import Annotated, Literal

from pydantic import Field

from persona_leakage.config.blocks.fields import DATE, Block, Line, Name, Number
from persona_leakage.config.blocks.personas import PersonaEntry

Positive = Annotated[Number, Field(gt=0)]
AtLeastOne = Annotated[int, Field(ge=1)]
Stage = Literal["sample_transformers", "sample_vllm", "train", "centroids", "other"]


class PersonasFile(Block):
    """A personas file."""

    personas: Annotated[list[PersonaEntry], Field(min_length=4)] = Field(description="The personas, each with a system prompt.")


class QuestionsFile(Block):
    """A questions file."""

    sets: Annotated[dict[Name, Annotated[list[Line], Field(min_length=1)]], Field(min_length=1)] = Field(
        description="Named sets of questions."
    )


class Hardware(Block):
    """A machine."""

    name: str
    gpu: bool
    jobs_at_once: AtLeastOne


class ReplyLength(Block):
    """Mean length of a base model's replies."""

    suffix: str = Field(description="The question suffix of the replies.")
    mean_tokens: Positive
    source: str = Field(alias="from", description="Where it was measured.")


class KnownModel(Block):
    """What is known of a model before it is there."""

    parameters: AtLeastOne
    bytes: AtLeastOne = Field(description="Size of its folder.")
    hidden_size: AtLeastOne
    lora_parameters_per_rank: AtLeastOne = Field(description="Rows and columns of all adapted matrices together.")
    template_tokens: int = Field(ge=0, description="Tokens of a prompt with empty texts.")
    tokens_per_character: Positive
    replies: list[ReplyLength] = Field(description="Mean reply lengths of the base model, by question suffix.")


class Rate(Block):
    """A measured rate of a stage."""

    hardware: str
    model: str = Field(description="A key of models, or any.")
    stage: Stage
    tokens_per_second: Positive | None = None
    start_seconds: Number = Field(ge=0, description="Seconds of a job before its first token.")
    date: Annotated[str, Field(pattern=DATE)]
    note: str


class RatesFile(Block):
    """Measured rates, and what is known of models before they are there."""

    hardware: dict[str, Hardware]
    models: dict[str, KnownModel] = Field(description="By model.name of a config.")
    bytes_per_token: Positive = Field(description="Of packed replies.")
    rates: list[Rate]
