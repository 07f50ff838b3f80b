"""Predicted leakage with intervals, calibrated on a study: for sources that it trained, and for new ones."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import expit

from persona_leakage.infrastructure.intervals import LEVEL, next_interval
from persona_leakage.statistics.core.bootstrap import MIN_SOURCES
from persona_leakage.statistics.core.permutation import draw_permutations
from persona_leakage.statistics.core.ranks import standard_ranks

PERMUTATIONS = 999
TAIL = (1 - LEVEL) / 2
FEWEST = math.ceil(1 / TAIL) - 1  # bystanders, below which the conformal quantile is beyond the largest residual


@dataclass(frozen=True)
class KnownSource:
    """A line of log-odds on closeness and the residual quantiles around it; slope 0 where closeness is not used."""

    intercept: float
    slope: float
    below: float
    above: float

    def predict(self, closeness):
        """(predicted, low, high) in log-odds, each of the shape of ``closeness``."""
        middle = self.intercept + self.slope * np.asarray(closeness)
        return middle, middle + self.below, middle + self.above


@dataclass(frozen=True)
class NewSource:
    """The lines of the study's sources [S], and the variances that a new training adds; seeds: trainings behind each line."""

    intercepts: np.ndarray
    slopes: np.ndarray
    seeds: int
    seed_variance: float
    residual_variance: float
    residuals: int

    def predict(self, closeness):
        """(predicted, low, high) in log-odds: Student's t; degrees of freedom by Satterthwaite."""
        closeness = np.asarray(closeness, dtype=float)
        lines = self.intercepts[:, None] + self.slopes[:, None] * closeness.reshape(1, -1)
        size = len(lines)
        among = lines.var(axis=0, ddof=1) * (1 + 1 / size)
        rest = self.residual_variance + self.seed_variance * (1 - 1 / self.seeds)
        freedom = (among + rest) ** 2 / (among**2 / (size - 1) + rest**2 / max(1, self.residuals - 1))
        half = stats.t.ppf(1 - TAIL, freedom) * np.sqrt(among + rest)
        middle = lines.mean(axis=0)
        return tuple(values.reshape(closeness.shape) for values in (middle, middle - half, middle + half))


def line(x, y, used):
    """(intercept, slope) by least squares over the personas with a value; slope 0 if closeness is not ``used``."""
    there = ~(np.isnan(x) | np.isnan(y))
    x, y = x[there], y[there]
    spread = ((x - x.mean()) ** 2).sum()
    slope = float(((x - x.mean()) * y).sum() / spread) if used and spread > 0 else 0.0
    return float(y.mean() - slope * x.mean()), slope


def held_out_predictions(x, y, used):
    """Each persona predicted from the others: x, y [n] -> [n], by the leverage (PRESS, Allen 1974)."""
    intercept, slope = line(x, y, used)
    dx = x - x.mean()
    leverage = np.full(len(x), 1 / len(x)) + (dx**2 / (dx @ dx) if used and dx @ dx > 0 else 0)
    return y - (y - intercept - slope * x) / (1 - leverage)


def calibrate_known(x, odds, used):
    """The KnownSource of closeness x [P] and log-odds [K, P]; None with fewer than FEWEST bystanders.

    Residuals are of held-out personas under a held-out seed (of one seed, where there is one). Their quantiles are those of the
    jackknife with the conformal n + 1 (Vovk, Gammerman & Shafer 2005), interpolated, because rounding up covers too much.
    """
    there = ~(np.isnan(x) | np.isnan(odds).any(axis=0))
    x, odds = x[there], odds[:, there]
    size = len(x)
    if size < FEWEST:
        return None
    residuals = []
    for seed in range(len(odds)):
        others = np.delete(odds, seed, axis=0) if len(odds) > 1 else odds
        residuals.append(odds[seed] - held_out_predictions(x, others.mean(axis=0), used))
    below, above = np.quantile(np.concatenate(residuals), [TAIL, 1 - TAIL], method="weibull")
    return KnownSource(*line(x, odds.mean(axis=0), used), float(below), float(above))


def calibrate_new(closeness, odds, used):
    """The NewSource of closeness [S, P] and log-odds [K, S, P]; None with fewer than 2 sources."""
    if len(closeness) < 2:
        return None
    means = odds.mean(axis=0)
    lines = np.array([line(x, y, used) for x, y in zip(closeness, means, strict=True)])
    residuals = odds - (lines[:, :1] + lines[:, 1:] * closeness)
    shifts = np.nanmean(residuals, axis=2)
    seed_variance = float(shifts.var(axis=0, ddof=1).mean()) if len(odds) > 1 else 0.0
    left = residuals - shifts[..., None]
    number = int((~np.isnan(left)).sum())
    freedom = number - shifts.size - (len(lines) if used else 0)
    return NewSource(lines[:, 0], lines[:, 1], len(odds), seed_variance, float(np.nansum(left**2) / max(1, freedom)), number)


def rate_of(odds, replies):
    """The measured rate that has these log-odds (half a count added to both sides), within [0, 1]."""
    return np.clip(((replies + 1) * expit(odds) - 0.5) / replies, 0, 1)


def judge_known(x, odds, seed):
    """{"used", "rho", "p", "because"}: whether closeness x [P] ranks the bystanders of a source with log-odds [K, P]."""
    there = ~(np.isnan(x) | np.isnan(odds).any(axis=0))
    ranks = [standard_ranks(values[there]) for values in (x, odds.mean(axis=0))]
    if np.isnan(ranks).any():
        return {"used": False, "rho": None, "p": None, "because": "all bystanders leak alike"}
    rho = float(ranks[0] @ ranks[1])
    drawn = ranks[0][draw_permutations(np.random.default_rng(seed), int(there.sum()), PERMUTATIONS)] @ ranks[1]
    p = float((1 + (drawn >= rho - 1e-12).sum()) / (1 + PERMUTATIONS))
    used = rho > 0 and p < 0.05
    said = f"closeness {'ranks' if used else 'does not rank'} its bystanders: correlation {rho:+.2f}, p = {p:.2g}"
    return {"used": used, "rho": rho, "p": p, "because": said}


def judge_new(closeness, odds, seed):
    """The same for a source that the study does not have: closeness [S, P], log-odds [K, S, P]; over the common bystanders.

    rho: mean over sources; interval: of the correlation of one more source.
    """
    common = ~(np.isnan(closeness).any(axis=0) | np.isnan(odds).any(axis=(0, 1)))
    unknown = {"used": False, "rho": None, "p": None, "interval": None}
    if len(closeness) < MIN_SOURCES:
        return unknown | {"because": f"the study has {len(closeness)} source(s); at least {MIN_SOURCES} needed for a new source"}
    ranks = [standard_ranks(values[:, common]) for values in (closeness, odds.mean(axis=0))]
    if np.isnan(ranks).any():
        return unknown | {"because": "all bystanders of a source leak alike"}
    rhos = (ranks[0] * ranks[1]).sum(axis=1)
    interval = next_interval(rhos)
    permutations = draw_permutations(np.random.default_rng(seed), int(common.sum()), PERMUTATIONS)
    drawn = np.stack([(x[permutations] @ y) for x, y in zip(*ranks, strict=True)]).mean(axis=0)
    p = float((1 + (drawn >= rhos.mean() - 1e-12).sum()) / (1 + PERMUTATIONS))
    used = p < 0.05 and bool(interval) and interval[0] > 0
    said = "a new source's correlation is in [{:.2f}, {:.2f}], p = {:.2g} for the mean".format(*interval or (-1, 1), p)
    return {"used": used, "rho": float(rhos.mean()), "p": p, "interval": interval, "because": said}
