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
        description="0-based blocks whose output is taken: layer L is hidden_states[L+1]. "
        "all compares all blocks and keeps the headline layer for everything else.",
    )
    headline_layer: Layer = Field(21, description="The layer of the figures, the verdict and the closing table; one of layers.")
    positions: Positions = Field(
        ["last_prompt_token"],
        description="Tokens at which states are taken. All results use the first; the others are compared with it.",
    )
    precision: Precision = Field("float32", description="As training.precision; centroids are stored in float32.")
    adapted: bool = Field(False, description="Also take the centroids of every adapted model and compare them with the base model's.")

    @model_validator(mode="after")
    def check_headline(self):
        """The headline layer must be taken."""
        if self.layers != "all" and self.headline_layer not in self.layers:
            refuse("headline_layer", f"{self.headline_layer} is not one of geometry.layers {self.layers}")
        return self
