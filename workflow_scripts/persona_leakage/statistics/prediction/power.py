"""Interval width and power of a study before it is run, from variance components that were measured or guessed."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import stats
from scipy.special import ndtr, ndtri

from persona_leakage.config.blocks.power import Guesses
from persona_leakage.config.messages import parse
from persona_leakage.config.personas import read_yaml
from persona_leakage.infrastructure.intervals import LEVEL
from persona_leakage.statistics.core.bootstrap import MIN_SOURCES

GUESSES = Path(__file__).resolve().parents[4] / "resources/power.yaml"
DRAWN = 40_000  # simulated personas for a rank_link, which is then accurate to about 0.003
TRUE_STEP = 0.02
TRUE = np.linspace(-1, 1, 101)  # true correlations, between which rank_link is interpolated
STUDIES = 20_000  # simulated; power is a share of them, with a standard error of about 0.3 points


@dataclass(frozen=True)
class Components:
    """rho: mean over sources of the correlation (normal scores) of closeness and true leakage; rho_sd: between sources, Fisher's z.

    rate: mean leakage. persona, training, question: intraclass correlations, the share of p (1 - p) that lies between
    personas, between trainings of a persona, between questions of a training (beta distributions). shared: of two sources,
    the correlation of their closeness times that of their true leakage (normal scores), because they share bystanders.
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
def rank_link(components, design):
    """Mean Spearman correlation [len(TRUE)] of closeness with measured leakage, where that with true leakage is TRUE (normal scores).

    Given the normal score Z of true leakage, closeness X is normal with mean rho Z and variance 1 - rho^2, and measured leakage Y
    depends on X through Z alone. Counts may be tied and skewed. Signs of differences of n pairs give the sum of products of ranks,
    n (n - 1) / 4 (tau + (n - 2) kappa), and likewise the sums of squares (Kendall 1948), with
    kappa = 4 E[(Phi(rho Z / sqrt(2 - rho^2)) - 1/2) (V - 1/2)], V the mid-rank of Y as a share, and
    tau = E[(2 Phi(rho (Z - Z') / sqrt(2 - 2 rho^2)) - 1) sign(Y - Y')] of two personas.
    For many personas without noise it is 6 / pi arcsin(rho / 2). Z: mid-quantiles of DRAWN parts.
    """
    generator, size = np.random.default_rng(1), design.personas
    score = ndtri((np.arange(DRAWN) + 0.5) / DRAWN)
    measured = measured_rates(components, design, true_rates(components, score), generator)
    rank, other = (stats.rankdata(measured) - 0.5) / DRAWN - 0.5, generator.permutation(DRAWN)
    apart, sign = score - score[other], np.sign(measured - measured[other])
    scale = ((size + 1) / 3 * ((sign**2).mean() + 4 * (size - 2) * rank.var())) ** 0.5
    if not scale > 0:
        return np.zeros(len(TRUE))
    kappa = np.array([4 * np.mean((ndtr(rho / (2 - rho**2) ** 0.5 * score) - 0.5) * rank) for rho in TRUE])
    tau = np.array([np.mean((2 * ndtr(rho / max(1e-9, 2 - 2 * rho**2) ** 0.5 * apart) - 1) * sign) for rho in TRUE])
    return (tau + (size - 2) * kappa) / scale


def shared_part(components, design):
    """Components.shared in ranks of measured leakage, about the covariance of two sources' Fisher's z, times personas - 3.

    The factor is the squared slope of rank_link at 0. That slope is sqrt(3 / pi) kappa, kappa the correlation of Z and V: ranks
    turn a correlation a of closeness into 3 a / pi, and measuring turns b of leakage into kappa^2 b.

    Errors of two correlations r1, r2 of sources whose closeness correlates a and whose leakage b, and whose closeness predicts the
    other's leakage through its own alone (a r2, a r1), have the covariance (Pearson & Filon 1898; Olkin & Siotani 1976)
    n cov = a b (1 - r1^2 - r2^2) + r1 r2 (b^2 - a^2 + a^2 (r1^2 + r2^2)) / 2. Over (1 - r1^2) (1 - r2^2) this is a b on
    Fisher's z: exactly with a = b and r1 = r2. Else n cov is less by r1 r2 (a^2 - b^2 + 2 a b r1 r2 - a^2 (r1^2 + r2^2)) / 2.
    """
    return components.shared * float(np.interp(TRUE_STEP, TRUE, rank_link(components, design)) / TRUE_STEP) ** 2


def draw_correlations(components, design):
    """Measured correlations of the sources, on Fisher's z, in STUDIES studies of a design: [STUDIES, sources].

    Variance by bystanders: Bonett & Wright (2000); shared_part of it is the same for all sources, which have the same bystanders.
    The mean of tanh(z) is below the tanh of the mean by r (1 - r^2) variance, in second order: z is shifted by r times its variance.
    """
    generator = np.random.default_rng(2)
    normal = generator.normal(size=(2, STUDIES, design.sources))
    common = generator.normal(size=(STUDIES, 1))
    true = np.tanh(np.arctanh(components.rho) + components.rho_sd * normal[0])
    measured = np.interp(true, TRUE, rank_link(components, design))
    shared = shared_part(components, design) / (design.personas - 3)
    variance = (1 + measured**2 / 2) / (design.personas - 3)
    return np.arctanh(measured) + measured * variance + shared**0.5 * common + (variance - shared) ** 0.5 * normal[1]


def describe_design(components, design):
    """{"rho", "ceiling", "mean_interval", "mean_power", "new_source_interval", "new_source_power"} that a study would give.

    mean: the mean correlation of sources like these (interval_over_sources; None with fewer than MIN_SOURCES); new_source: the
    correlation of one more source (next_interval). Intervals are medians over drawn studies; power: their share above 0.

    interval_over_sources takes as shared variance that of the mean correlation with the same resamples of the bystanders for
    all sources, minus that with others for each. The difference is the sum of the covariances of all pairs of sources over
    sources^2: the sum of (1 - r1^2) (1 - r2^2) shared_part / (personas - 3), from Fisher's z to correlations.
    """
    z = draw_correlations(components, design)
    rho, size = np.tanh(z), design.sources
    half = stats.t.ppf((1 + LEVEL) / 2, size - 1) * z.std(axis=1, ddof=1) * (1 + 1 / size) ** 0.5
    found = {"rho": float(rho.mean()), "ceiling": float(rank_link(components, design)[-1])}
    found |= described("new_source", z.mean(axis=1), half)
    if size < MIN_SOURCES:
        return found | {"mean_interval": None, "mean_power": None}
    mean, among, slope = rho.mean(axis=1), rho.var(axis=1, ddof=1) / size, 1 - rho**2
    pairs = (slope.sum(axis=1) ** 2 - (slope**2).sum(axis=1)) / size**2
    shared = shared_part(components, design) * pairs / (design.personas - 3)
    freedom = (among + shared) ** 2 / (among**2 / (size - 1) + shared**2 / (design.personas - 1))
    half = stats.t.ppf((1 + LEVEL) / 2, freedom) * (among + shared) ** 0.5 / (1 - mean**2)
    return found | described("mean", np.arctanh(mean), half)


def described(name, middle, half):
    """Median interval and power, from the middle and half width on Fisher's z [studies]."""
    low, high = np.tanh(middle - half), np.tanh(middle + half)
    return {f"{name}_interval": [float(np.median(low)), float(np.median(high))], f"{name}_power": float((low > 0).mean())}
