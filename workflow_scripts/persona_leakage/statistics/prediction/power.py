"""Interval width and power of a study before it is run, from variance components that were measured or guessed."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import stats
from scipy.special import ndtr

from persona_leakage.config.blocks.power import Guesses
from persona_leakage.config.messages import parse
from persona_leakage.config.personas import read_yaml
from persona_leakage.infrastructure.intervals import LEVEL
from persona_leakage.statistics.core.bootstrap import MIN_SOURCES
from persona_leakage.statistics.core.ranks import standard_ranks

GUESSES = Path(__file__).resolve().parents[4] / "resources/power.yaml"
DRAWN = 40_000  # simulated personas for an attenuation, which is then accurate to about 0.003
STUDIES = 20_000  # of which the power is a share, known to about 0.3 points


@dataclass(frozen=True)
class Components:
    """rho: mean over sources of the correlation (normal scores) of closeness and true leakage; rho_sd: between sources, Fisher's z.

    rate: mean leakage. persona, training, question: intraclass correlations, the share of p (1 - p) that lies between
    personas, between trainings of a persona, between questions of a training (beta distributions). shared: of two sources,
    the correlation of their closeness times that of their true leakage, because they share bystanders.
    """

    rho: float
    rho_sd: float
    rate: float
    persona: float
    training: float
    question: float
    shared: float


@dataclass(frozen=True)
class Design:
    """Bystanders of a source, sources, questions, replies to each, and trainings of each source, whose leakage is averaged."""

    personas: int
    sources: int
    questions: int
    replies: int
    seeds: int = 1


def read_guesses(path=GUESSES):
    """The Components in a YAML file; InputError with the key, the value and what is allowed."""
    return Components(**parse(Guesses, read_yaml(path), path).model_dump())


def beta_values(generator, mean, share):
    """Values with this mean and a variance of ``share`` of mean (1 - mean); the mean itself where share is 0."""
    if share <= 0:
        return mean
    mean = np.clip(mean, 1e-9, 1 - 1e-9)
    size = 1 / share - 1
    return generator.beta(np.maximum(mean * size, 1e-9), np.maximum((1 - mean) * size, 1e-9))


def true_rates(components, latent):
    """Rates of personas with these standard normal values: the beta distribution between personas."""
    if components.persona <= 0:
        return np.full_like(latent, components.rate)
    size = 1 / components.persona - 1
    return stats.beta.ppf(ndtr(latent), components.rate * size, (1 - components.rate) * size)


def measured_rates(components, design, rates, generator):
    """Rates over all questions, replies and trainings, drawn for true ``rates`` [...]: the same shape."""
    trained = beta_values(generator, np.broadcast_to(rates[..., None], (*rates.shape, design.seeds)), components.training)
    asked = beta_values(generator, np.broadcast_to(trained[..., None], (*trained.shape, design.questions)), components.question)
    return generator.binomial(design.replies, np.nan_to_num(asked)).mean(axis=(-1, -2)) / design.replies


@lru_cache(maxsize=256)
def attenuation(components, design):
    """Correlation (normal scores) of measured with true leakage: what sampling leaves of any correlation with it."""
    generator = np.random.default_rng(1)
    latent = generator.normal(size=DRAWN)
    measured = measured_rates(components, design, true_rates(components, latent), generator)
    rank = standard_ranks(latent) @ standard_ranks(measured)
    return float(2 * np.sin(np.pi / 6 * np.nan_to_num(rank)))


def draw_correlations(components, design, factor):
    """Measured correlations of the sources, on Fisher's z, in STUDIES studies of a design: [STUDIES, sources].

    Variance by bystanders: Bonett & Wright (2000); a part of it is the same for all sources, which have the same bystanders.
    """
    generator = np.random.default_rng(2)
    normal = generator.normal(size=(2, STUDIES, design.sources))
    common = generator.normal(size=(STUDIES, 1))
    true = np.tanh(np.arctanh(components.rho) + components.rho_sd * normal[0])
    measured = 6 / np.pi * np.arcsin(true * factor / 2)
    noise = ((1 + measured**2 / 2) / (design.personas - 3)) ** 0.5
    shared = components.shared * factor**2
    return np.arctanh(measured) + noise * (shared**0.5 * common + (1 - shared) ** 0.5 * normal[1])


def describe_design(components, design):
    """{"rho", "ceiling", "mean_interval", "mean_power", "new_source_interval", "new_source_power"} that a study would give.

    mean: the mean correlation of sources like these (interval_over_sources; None with fewer than MIN_SOURCES); new_source: the
    correlation of one more source (next_interval). Intervals are medians over drawn studies; power: their share above 0.
    """
    factor = attenuation(components, design)
    z = draw_correlations(components, design, factor)
    rho, size = np.tanh(z).mean(axis=1), design.sources
    half = stats.t.ppf((1 + LEVEL) / 2, size - 1) * z.std(axis=1, ddof=1) * (1 + 1 / size) ** 0.5
    found = {"rho": float(np.mean(rho)), "ceiling": factor, **described("new_source", z.mean(axis=1), half)}
    if size < MIN_SOURCES:
        return found | {"mean_interval": None, "mean_power": None}
    among = np.tanh(z).var(axis=1, ddof=1) / size
    shared = components.shared * factor**2 * (1 + rho**2 / 2) * (1 - rho**2) ** 2 / (design.personas - 3)
    freedom = (among + shared) ** 2 / (among**2 / (size - 1) + shared**2 / (design.personas - 1))
    half = stats.t.ppf((1 + LEVEL) / 2, freedom) * (among + shared) ** 0.5 / (1 - rho**2)
    return found | described("mean", np.arctanh(rho), half)


def described(name, middle, half):
    """Median interval and power, from the middle and half width on Fisher's z [studies]."""
    low, high = np.tanh(middle - half), np.tanh(middle + half)
    return {f"{name}_interval": [float(np.median(low)), float(np.median(high))], f"{name}_power": float((low > 0).mean())}
