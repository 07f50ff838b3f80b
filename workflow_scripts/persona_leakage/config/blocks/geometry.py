"""The block ``geometry``: which hidden states are taken."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from persona_leakage.config.blocks.fields import Block, Precision, check_unique, entries, form, refuse

Layer = Annotated[int, Field(ge=0)]
Layers = Annotated[list[Layer], entries(1), AfterValidator(check_unique)]
LayersOrAll = Annotated[Layers | Literal["all"], form("a list of unique block numbers from 0 on or the word all")]
Position = Literal["last_prompt_token", "mean_system_turn", "first_reply_token"]
Positions = Annotated[list[Position], entries(1), AfterValidator(check_unique)]


class Geometry(Block):
    """The hidden states."""

    layers: LayersOrAll = Field(
        [11, 16, 21, 27],
        description="0-based blocks; layer L is hidden_states[L+1]. all: compare every block.",
    )
    headline_layer: Layer = Field(21, description="One of layers; used for verdict and figures.")
    positions: Positions = Field(
        ["last_prompt_token"],
        description="Tokens whose states are used; the first is the headline.",
    )
    precision: Precision = Field("float32", description="As training.precision.")
    adapted: bool = Field(False, description="Also measure and compare adapted models.")

    @model_validator(mode="after")
    def check_headline(self):
        """The headline layer must be taken."""
        if self.layers != "all" and self.headline_layer not in self.layers:
            refuse("headline_layer", f"{self.headline_layer} is not one of geometry.layers {self.layers}")
        return self
