"""Synthetic experiments with known truth: effects that the statistics must find, and confounders that must not mislead them."""

from dataclasses import dataclass

import numpy as np

from persona_leakage.statistics.core.pair_matrices import PairMatrices

COSINE_SCALE = 0.08  # standard deviations of closeness -> cosine, far from its ends


@dataclass(frozen=True)
class World:
    """How closeness and leakage come about; all effects are standard deviations or slopes on the log-odds of leakage.

    Closeness of two personas = hub of the one + hub of the other + category + wordings + a part of their own; the
    layers share half of the variance of that last part. floor lowers the last source; contrast makes proneness go with
    closeness to the first source and with distance from the last, which at the floor looks like an effect of the pair.
    Log-odds of leakage = baseline + source + proneness of the bystander + slope of the source * closeness of their own +
    noise; a question shifts it for all, and once more for each pair.
    """

    sources: int = 5
    bystanders: int = 45
    layers: int = 2
    categories: int = 5
    questions: int = 10
    replies: int = 10
    baseline: float = -1.5
    source_sd: float = 1.0
    hub_sd: float = 0.0
    proneness_sd: float = 0.0
    noise_sd: float = 1.0
    hub_effect: float = 0.0
    category_effect: float = 0.0
    wording_effect: float = 0.0
    wordings: int = 1
    floor: float = 0.0
    contrast: float = 0.0
    slope: float = 0.0
    slope_sd: float = 0.0
    question_sd: float = 0.5


SCENARIOS = {
    "no effect": World(hub_sd=1.0, proneness_sd=1.0),
    "shared by all sources": World(hub_sd=1.0, hub_effect=1.0),
    "one source at the floor": World(contrast=1.0, floor=-3.0, source_sd=0.3),
    "shared by a category": World(category_effect=1.0),
    "shared wording": World(wording_effect=0.5, wordings=3, proneness_sd=0.5),
    "weak pair effect": World(hub_sd=0.5, proneness_sd=0.5, slope=0.3, source_sd=0.0),
    "pair effect": World(hub_sd=0.5, proneness_sd=0.5, slope=0.8, source_sd=0.0),
    "pair effect, sources differ": World(hub_sd=0.5, proneness_sd=0.5, slope=0.8, slope_sd=0.3),
}


def simulate(world, generator):
    """One experiment: (PairMatrices, counts {"found", "total"} [sources, personas, questions], cosines [layers, personas, personas])."""
    size = world.sources + world.bystanders
    origins, bystanders = slice(world.sources), slice(world.sources, None)
    category = np.arange(size) % world.categories
    hub = world.hub_sd * generator.normal(size=size)
    affinity = symmetric(generator, world.categories)[np.ix_(category, category)] * (world.category_effect > 0)
    wordings, pair_part = np.stack([symmetric(generator, size) for _ in range(world.wordings)]), symmetric(generator, size)
    parts = [np.sqrt(0.5) * (pair_part + symmetric(generator, size)) for _ in range(world.layers)]
    general = hub[:, None] + hub + affinity + wordings.sum(axis=0) * (world.wording_effect > 0)
    cosines = COSINE_SCALE * (general + np.stack(parts))
    contrast = world.contrast * (parts[0][0] - parts[0][world.sources - 1]) / np.sqrt(2)
    logits = (
        world.baseline
        + world.floor * (np.arange(world.sources) == world.sources - 1)[:, None]
        + contrast
        + world.source_sd * generator.normal(size=(world.sources, 1))
        + world.proneness_sd * generator.normal(size=size)
        + world.hub_effect * hub
        + world.category_effect * affinity[origins]
        + world.wording_effect * wordings.sum(axis=0)[origins]
        + (world.slope + world.slope_sd * generator.normal(size=(world.sources, 1))) * parts[0][origins]
        + world.noise_sd * generator.normal(size=(world.sources, size))
    )
    shifts = generator.normal(size=world.questions) + generator.normal(size=(world.sources, size, world.questions))
    chances = 1 / (1 + np.exp(-logits[..., None] - world.question_sd * shifts))
    found = generator.binomial(world.replies, chances).astype(float)
    total = np.full_like(found, world.replies)
    for values in (found, total):
        values[np.arange(world.sources), np.arange(world.sources)] = np.nan  # a source is no bystander of itself
    pairs = cosines[:, origins].copy()
    pairs[:, np.arange(world.sources), np.arange(world.sources)] = np.nan
    columns = ("word_similarity", "char_similarity", "embedding_similarity")
    similarities = {name: np.broadcast_to(values[origins], pairs.shape) for name, values in zip(columns, wordings, strict=False)}
    names = [f"source{index}" for index in range(size)][origins] + [f"persona{index}" for index in range(size)][bystanders]
    matrices = PairMatrices(
        layers=list(range(world.layers)),
        sources=names[origins],
        personas=names,
        categories=np.array([f"category{index}" for index in category], dtype=object),
        cosines={"cosine": pairs, **similarities},
        rate=found.sum(axis=-1) / total.sum(axis=-1),
        found=found.sum(axis=-1),
        total=total.sum(axis=-1),
        related=np.zeros((world.sources, size), dtype=bool),
        prompt_tokens=generator.integers(6, 28, size=size).astype(float),
        missing={},
    )
    return matrices, {"found": found, "total": total}, cosines


def symmetric(generator, size):
    """Standard normal values [size, size] that are the same both ways."""
    values = np.triu(generator.normal(size=(size, size)))
    return values + np.triu(values, k=1).T
