"""The block ``engine``: what samples the training answers and the replies."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from persona_leakage.config.blocks.fields import Block, Count, Precision, refuse


class SamplingEngine(Block):
    """What decides replies of the base model."""

    name: Literal["auto", "transformers", "vllm"] = Field(
        "auto", description="auto: vLLM if installed and a GPU is present, else transformers."
    )
    precision: Precision = Field("auto", description="As training.precision.")
    batch_size: Count = Field(128, description="Replies per batch, halved if memory runs out; vLLM ignores it.")


class AdapterEngine(SamplingEngine):
    """What decides replies of an adapted model."""

    merge_adapter: bool = Field(True, description="Merge the adapter into the weights; must be false with vllm.")

    @model_validator(mode="after")
    def check_merge(self):
        """vLLM never merges."""
        if self.name == "vllm" and self.merge_adapter:
            refuse("merge_adapter", "true is for the transformers engine; with engine.name: vllm it must be false")
        return self


def kind(value):
    """Tag of what an engine block is of: replies of an adapted model or of the base model."""
    return "<adapter>" if isinstance(value, AdapterEngine) or (isinstance(value, dict) and "merge_adapter" in value) else "<base>"


AnyEngine = Annotated[Annotated[SamplingEngine, Tag("<base>")] | Annotated[AdapterEngine, Tag("<adapter>")], Discriminator(kind)]


class Engine(AdapterEngine):
    """The sampling engine."""

    checkpoint_every: Count = Field(450, description="Replies between two checkpoints; changes no reply.")
