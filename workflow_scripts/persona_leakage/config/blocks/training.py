"""The block ``training``: how the adapters are trained."""

from pydantic import Field

from persona_leakage.config.blocks.fields import Block, Count, Number, Precision, Seeds


class Lora(Block):
    """The low-rank adapter, on every linear layer of the blocks."""

    rank: Count = Field(32, description="Rank of the update matrices.")
    alpha: Number = Field(64, gt=0, description="Scale: the update is multiplied by alpha / rank.")
    dropout: Number = Field(0.0, ge=0, lt=1, description="Dropout in front of the adapter.")
    rslora: bool = Field(False, description="Multiply by alpha / sqrt(rank) instead of alpha / rank.")


class TrainingRecipe(Block):
    """What decides an adapter, its rows and seed apart."""

    lora: Lora = Field(Lora(), description="The adapter.")
    learning_rate: Number = Field(1.0e-3, gt=0, le=1, description="Peak of the cosine schedule.")
    epochs: Count = Field(2, description="Passes over the rows.")
    batch_size: Count = Field(4, description="Rows of an optimizer step.")
    warmup_ratio: Number = Field(0.05, ge=0, lt=1, description="Share of the steps in which the learning rate rises.")
    weight_decay: Number = Field(0.0, ge=0, description="Weight decay of AdamW (0.9, 0.999, 1e-8).")
    max_grad_norm: Number = Field(1.0, gt=0, description="Largest norm of a step's gradient.")
    max_length: Count = Field(1024, description="Longest row in tokens. Longer rows are left out and counted in the manifest.")
    max_tokens_per_micro_batch: Count = Field(
        4096, description="Padded tokens in memory at once; halved if memory runs out. The loss of a step does not depend on it."
    )
    precision: Precision = Field(
        "auto", description="auto is bfloat16 where the hardware computes in it, else float32. Adapter weights stay float32."
    )


class Training(TrainingRecipe):
    """The training."""

    seeds: Seeds = Field(
        [42], description="Training seeds (adapter init, order of rows, dropout). Each gives every source an adapter of its own."
    )
