"""The block ``analysis``: the statistics."""

from pydantic import Field

from persona_leakage.config.blocks.fields import Block, Count, Text


class Divergence(Block):
    """How much of each reply the next-token divergence reads."""

    replies_per_question: Count = Field(description="Replies without adapter of each persona and question.")
    tokens: Count = Field(description="Positions of each reply.")


class Bootstraps(Block):
    """How often intervals resample."""

    bootstraps: int = Field(2_000, ge=200, le=100_000, description="Resamples of every bootstrap interval.")


class Resamples(Bootstraps):
    """How often the statistics resample."""

    permutations: int = Field(
        10_000, ge=99, le=1_000_000, description="Random relabellings of every permutation test; the smallest p is 1 / (permutations + 1)."
    )


class Statistics(Resamples):
    """What the main correlations need."""

    min_category_size: int = Field(5, ge=3, description="Pairs that a category needs for a correlation of its own.")


class Analysis(Statistics):
    """The statistics."""

    embedding_model: Text | None = Field(
        None,
        description="Folder of a sentence-embedding model (mean-pooled), whose prompt similarity becomes a baseline predictor.",
    )
    predictors: bool = Field(False, description="Compare the cosine with all other predictors in one table.")
    divergence: Divergence | None = Field(
        None, description="Measure next-token divergence as baseline predictors, {replies_per_question, tokens}; it switches predictors on."
    )
