"""The block ``training``: how the adapters are trained."""

from pydantic import Field

from persona_leakage.config.blocks.fields import Block, Count, CountOrNone, Number, Precision, Seeds


class Lora(Block):
    """The low-rank adapter, on every linear layer of the blocks."""

    rank: Count = Field(32, description="Rank of the update.")
    alpha: Number = Field(64, gt=0, description="The update is scaled by alpha / rank.")
    dropout: Number = Field(0.0, ge=0, lt=1, description="Dropout before the adapter.")
    rslora: bool = Field(False, description="Scale by alpha / sqrt(rank) instead.")


class TrainingRecipe(Block):
    """What decides an adapter, its rows and seed apart."""

    lora: Lora = Field(Lora(), description="The adapter.")
    learning_rate: Number = Field(1.0e-3, gt=0, le=1, description="Peak of the cosine schedule.")
    epochs: Count = Field(2, description="Passes over the rows.")
    batch_size: Count = Field(4, description="Rows per optimizer step.")
    warmup_ratio: Number = Field(0.05, ge=0, lt=1, description="Share of steps with warm-up.")
    weight_decay: Number = Field(0.0, ge=0, description="Weight decay of AdamW.")
    max_grad_norm: Number = Field(1.0, gt=0, description="Gradient clipping norm.")
    max_length: Count = Field(1024, description="Longest row, in tokens; longer rows are excluded and counted.")
    max_tokens_per_micro_batch: Count = Field(
        4096, description="Padded tokens per micro-batch, halved if memory runs out; the loss does not depend on it."
    )
    precision: Precision = Field(
        "auto", description="auto: bfloat16 where the hardware supports it, else float32; adapter weights stay float32."
    )


class Training(TrainingRecipe):
    """The training."""

    seeds: Seeds = Field([42], description="Initialization, row order, dropout; each seed trains one adapter per source.")
    snapshots: CountOrNone = Field(0, description="Measures leakage after this many equally spaced steps; 0: off.")
