"""The block ``sampling`` of training_data and evaluation: how tokens are drawn."""

from pydantic import Field

from persona_leakage.config.blocks.fields import Block, Count, Number


class Sampling(Block):
    """How replies are sampled."""

    temperature: Number = Field(0.7, ge=0, le=2, description="0: greedy decoding.")
    top_p: Number = Field(0.95, gt=0, le=1, description="Nucleus sampling.")
    max_new_tokens: Count = Field(96, description="Longest reply, in tokens.")
