"""The block ``analysis``: the statistics."""

from pydantic import Field

from persona_leakage.config.blocks.fields import Block, Count, Text


class Divergence(Block):
    """How much of each reply the next-token divergence reads."""

    replies_per_question: Count = Field(description="Base-model replies to each persona and question.")
    tokens: Count = Field(description="Tokens of each reply.")


class Bootstraps(Block):
    """Numbers of bootstrap resamples."""

    bootstraps: int = Field(2_000, ge=200, le=100_000, description="Resamples of each bootstrap interval.")


class Resamples(Bootstraps):
    """How often the statistics resample."""

    permutations: int = Field(10_000, ge=99, le=1_000_000, description="Draws of each permutation test; the smallest p is 1 / (draws + 1).")


class Statistics(Resamples):
    """What the main correlations need."""

    min_category_size: int = Field(5, ge=3, description="Smallest category that gets its own correlation, in pairs.")


class Analysis(Statistics):
    """The statistics."""

    embedding_model: Text | None = Field(
        None,
        description="Folder of a mean-pooled sentence-embedding model; adds a baseline predictor.",
    )
    predictors: bool = Field(False, description="Compare the cosine with the baseline predictors.")
    divergence: Divergence | None = Field(None, description="Add next-token divergence as baseline predictors; implies predictors.")
