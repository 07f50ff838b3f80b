"""The file of guesses that make power starts from, or writes from a study."""

from typing import Annotated

from pydantic import Field

from persona_leakage.config.blocks.fields import Block, Number

Share = Annotated[Number, Field(ge=0, lt=1)]


class Guesses(Block):
    """Variance components of a study; all but rho_sd are between 0 and 1."""

    rho: Annotated[Number, Field(gt=-1, lt=1)] = Field(description="Mean correlation of closeness and true leakage.")
    rho_sd: Annotated[Number, Field(ge=0)] = Field(description="Its standard deviation between sources, on Fisher's z.")
    rate: Annotated[Number, Field(gt=0, lt=1)] = Field(description="Mean leakage of a bystander.")
    persona: Annotated[Number, Field(gt=0, lt=1)] = Field(description="Share of p (1 - p) between personas.")
    training: Share = Field(description="Share between trainings of a source.")
    question: Share = Field(description="Share between questions.")
    shared: Share = Field(description="Correlation of the results of two sources through their common bystanders.")
