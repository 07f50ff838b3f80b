"""Coverage of the prediction intervals: held-out personas and sources, permuted persona labels, and simulated studies."""

from dataclasses import dataclass, replace

import numpy as np

from persona_leakage.statistics.leakage.held_out_prediction import LEAKS, area_under_curve, r_squared
from persona_leakage.statistics.prediction.calibration import calibrate_known, calibrate_new, judge_known, judge_new, rate_of

FOLDS = 10


@dataclass(frozen=True)
class HeldOut:
    """Held-out pairs [n]: source (an index), measured, predicted, low and high rates, and the two in log-odds."""

    source: np.ndarray
    rate: np.ndarray
    predicted: np.ndarray
    low: np.ndarray
    high: np.ndarray
    odds: np.ndarray
    predicted_odds: np.ndarray


def folds_of(personas, seed):
    """FOLDS index arrays that divide range(personas) at random."""
    return np.array_split(np.random.default_rng(seed).permutation(personas), FOLDS)


def held_out_personas(study, used):
    """New personas of known sources, in a new training: each fold of personas and each seed in turn is held out. A HeldOut."""
    rows = []
    for fold in folds_of(len(study.personas), 0):
        for source, x in enumerate(study.closeness):
            for run in range(len(study.odds)):
                odds = np.delete(study.odds, run, axis=0)[:, source] if len(study.odds) > 1 else study.odds[:, source].copy()
                odds[:, fold] = np.nan
                collect(rows, study, calibrate_known(x, odds, used), source, run, fold)
    return join(rows)


def held_out_sources(study, used):
    """New personas of new sources: each source and each fold of personas is held out. A HeldOut."""
    rows = []
    for fold in folds_of(len(study.personas), 0):
        for source in range(len(study.sources)):
            others = np.delete(np.arange(len(study.sources)), source)
            odds = study.odds[:, others].copy()
            odds[..., fold] = np.nan
            model = calibrate_new(np.where(np.isnan(odds[0]), np.nan, study.closeness[others]), odds, used)
            for run in range(len(study.odds)):
                collect(rows, study, model, source, run, fold)
    return join(rows)


def collect(rows, study, model, source, run, fold):
    """Add the pairs of one source, training and fold that have a value; nothing where there is no model."""
    fold = fold[~np.isnan(study.odds[run, source, fold])]
    if model is None or not len(fold):
        return
    ends = model.predict(study.closeness[source, fold])
    rates = [rate_of(values, study.replies) for values in ends]
    rows.append((np.full(len(fold), source), study.rates[run, source, fold], *rates, study.odds[run, source, fold], ends[0]))


def join(rows):
    """A HeldOut of all rows; None without any."""
    return HeldOut(*(np.concatenate(values) for values in zip(*rows, strict=True))) if rows else None


def coverage_from_few(closeness, outcome, known, draws):
    """Coverage [draws] of the pairs of new sources and new personas, predicted from ``known`` sources: closeness, outcome [S, P].

    Each draw takes other sources as the study, and a tenth of the personas out of it; the pairs are those of all other sources
    with these personas. Outcome is NaN where there is no pair.
    """
    shares = []
    for number in range(draws):
        order = np.random.default_rng([0, number]).permutation(len(outcome))
        fold = folds_of(outcome.shape[1], number)[0]
        studied, new = outcome[order[:known]].copy(), outcome[order[known:]][:, fold]
        studied[:, fold] = np.nan
        there = ~np.isnan(new)
        model = calibrate_new(np.where(np.isnan(studied), np.nan, closeness[order[:known]]), studied[None], True)
        _, low, high = model.predict(closeness[order[known:]][:, fold][there])
        shares.append(((low <= new[there]) & (new[there] <= high)).mean())
    return np.array(shares)


def coverage_from_one_seed(study):
    """Share of the rates under the other seeds that are inside the intervals of each source from one seed; None with one seed."""
    inside = []
    for source, seed in np.ndindex(len(study.sources), len(study.odds)):
        x, odds = study.closeness[source], study.odds[[seed], source]
        model = calibrate_known(x, odds, judge_known(x, odds, 0)["used"])
        _, low, high = (rate_of(values, study.replies) for values in model.predict(x))
        rates = np.delete(study.rates[:, source], seed, axis=0)
        inside.append(((low <= rates) & (rates <= high))[~np.isnan(rates)])
    return float(np.concatenate(inside).mean()) if len(study.odds) > 1 else None


def describe_held_out(found):
    """{"pairs", "coverage", "width", "r2", "auc", "per_source"}; width: mean of the intervals, as a rate; r2: of the log-odds."""
    if found is None:
        return None
    inside = (found.low <= found.rate) & (found.rate <= found.high)
    sources = [found.source == index for index in np.unique(found.source)]
    return {
        "pairs": len(inside),
        "coverage": float(inside.mean()),
        "width": float((found.high - found.low).mean()),
        "r2": r_squared(found.odds, found.predicted_odds, found.odds.mean()),
        "auc": area_under_curve(found.predicted_odds, found.rate > LEAKS),
        "per_source": [float(inside[chosen].mean()) for chosen in sources],
    }


def describe_coverage(study):
    """[{"mode", "closeness", "pairs", "coverage", ...}] with closeness and without; [] if the study gives no amounts."""
    modes = {"known source": held_out_personas, "new source": held_out_sources}
    if study.problem:
        return []
    rows = [(mode, used, describe_held_out(hold_out(study, used))) for mode, hold_out in modes.items() for used in (True, False)]
    return [{"mode": mode, "closeness": used, **block} for mode, used, block in rows if block]


def permuted(study, seed):
    """The study with the persona labels of its leakage permuted, alike for all sources and seeds; only the common bystanders stay."""
    common = np.flatnonzero(~np.isnan(study.odds).any(axis=(0, 1)))
    order = np.random.default_rng(seed).permutation(common)
    rates, odds = np.full_like(study.rates, np.nan), np.full_like(study.odds, np.nan)
    rates[..., common], odds[..., common] = study.rates[..., order], study.odds[..., order]
    return replace(study, rates=rates, odds=odds)


def uses_of(study, seed):
    """(shares of the known sources, share of new sources) for which closeness is used: ([S] booleans, boolean)."""
    known = [judge_known(study.closeness[index], study.odds[:, index], seed)["used"] for index in range(len(study.sources))]
    return known, judge_new(study.closeness, study.odds, seed)["used"]


@dataclass(frozen=True)
class PredictionWorld:
    """A study with normal effects in log-odds: level of a source, slope on closeness, a training's shift, a pair's own part, its noise."""

    sources: int = 5
    personas: int = 60
    seeds: int = 2
    replies: int = 200
    level: float = -2.0
    level_sd: float = 0.7
    slope: float = 0.8
    slope_sd: float = 0.3
    seed_sd: float = 0.2
    pair_sd: float = 0.7
    training_sd: float = 0.3

    def draw(self, generator):
        """(closeness [S, P], odds of every reply's probability [K, S, P]); the last source and persona are the new ones."""
        shape = (self.sources + 1, self.personas + 1)
        closeness = generator.normal(size=shape)
        level = self.level + self.level_sd * generator.normal(size=(shape[0], 1))
        slope = self.slope + self.slope_sd * generator.normal(size=(shape[0], 1))
        pairs = level + slope * closeness + self.pair_sd * generator.normal(size=shape)
        shifts = self.seed_sd * generator.normal(size=(self.seeds + 1, shape[0], 1))
        return closeness, pairs + shifts + self.training_sd * generator.normal(size=(self.seeds + 1, *shape))


def simulated_coverage(world, studies, seed, used=True):
    """{"known source", "new source": share of simulated studies whose interval holds the rate of a new persona in a new training}."""
    inside = {"known source": [], "new source": []}
    for number in range(studies):
        generator = np.random.default_rng([seed, number])
        closeness, odds = world.draw(generator)
        rates = generator.binomial(world.replies, 1 / (1 + np.exp(-odds))) / world.replies
        measured = np.log((rates * world.replies + 0.5) / ((1 - rates) * world.replies + 0.5))
        trained = measured[:-1, :-1, :-1]
        models = {
            "known source": (calibrate_known(closeness[0, :-1], trained[:, 0], used), 0),
            "new source": (calibrate_new(closeness[:-1, :-1], trained, used), -1),
        }
        for mode, (model, source) in models.items():
            _, low, high = (rate_of(values, world.replies) for values in model.predict(closeness[source, -1:]))
            inside[mode].append(bool(low[0] <= rates[-1, source, -1] <= high[0]))
    return {mode: float(np.mean(values)) for mode, values in inside.items()}
