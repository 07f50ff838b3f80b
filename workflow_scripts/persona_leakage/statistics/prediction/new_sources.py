"""Predict one more source from a study of many: its correlation, its mean leakage, and the leakage of its bystanders."""

import numpy as np
from scipy import stats

from persona_leakage.infrastructure.intervals import plain_interval, wilson_interval
from persona_leakage.statistics.core.multiple_testing import holm
from persona_leakage.statistics.leakage.held_out_prediction import r_squared
from persona_leakage.statistics.leakage.meta_analysis import combine_correlations
from persona_leakage.statistics.prediction.calibration import calibrate_new
from persona_leakage.statistics.prediction.coverage import folds_of

FEWEST = 6  # sources: without the one held out, a line has 3 degrees of freedom


def describe_correlations(rhos, sizes, earlier=None):
    """Is the correlation of one more source positive? rhos, sizes [S]: each source's Spearman correlation and its bystanders.

    positive: share of the sources above 0, with Wilson's interval, as if the sources were independent. interval: next_source_interval
    of combine_correlations. held_out: how many sources are inside the interval that the others give. earlier: the interval
    of an earlier study; inside_earlier: how many sources are inside it.
    """
    rhos, sizes = np.asarray(rhos, dtype=float), np.asarray(sizes)
    above = int((rhos > 0).sum())
    held_out = [combine_correlations(np.delete(rhos, index), np.delete(sizes, index))["next_source_interval"] for index in range(len(rhos))]
    return {
        "sources": len(rhos),
        "mean": float(rhos.mean()),
        "lowest": float(rhos.min()),
        "positive": {"sources": above, "share": above / len(rhos), "interval": wilson_interval(above, len(rhos))},
        "interval": combine_correlations(rhos, sizes)["next_source_interval"],
        "held_out": count_inside(rhos, held_out),
        "earlier": earlier,
        "inside_earlier": count_inside(rhos, [earlier] * len(rhos)) if earlier else None,
    }


def count_inside(values, intervals):
    """{"sources", "share"} of the values [S] that are inside their interval [low, high]; none is inside an unknown one (None)."""
    inside = sum(ends is not None and ends[0] <= value <= ends[1] for value, ends in zip(values, intervals, strict=True))
    return {"sources": int(inside), "share": inside / len(intervals)}


def hold_out_levels(levels, x=None):
    """[S, 3]: predicted, low and high mean leakage of each source from the others: levels [S].

    x [S]: what is known of a source before training; the prediction is a line on it, or the others' mean without it. 95 % prediction
    intervals of least squares.
    """
    columns = [np.ones(len(levels))] if x is None else [np.ones(len(levels)), np.asarray(x, dtype=float)]
    design, rows = np.stack(columns, axis=1), []
    for index in range(len(levels)):
        known, y = np.delete(design, index, axis=0), np.delete(levels, index)
        weights, *_ = np.linalg.lstsq(known, y, rcond=None)
        freedom = len(y) - design.shape[1]
        variance = ((y - known @ weights) ** 2).sum() / freedom
        leverage = design[index] @ np.linalg.pinv(known.T @ known) @ design[index]
        middle = float(design[index] @ weights)
        rows.append((middle, *plain_interval(middle, float(np.sqrt(variance * (1 + leverage))), freedom)))
    return np.array(rows)


def describe_levels(levels, predictors, earlier=None):
    """Can the mean leakage of one more source be predicted before training? levels [S]; predictors {name: [S]} known before training.

    none: the others' mean. Each predictor has its rank correlation with the levels, p (Spearman; p_holm over the predictors), and
    the held-out R2 against the others' mean. earlier: mean leakage [sources] of an earlier study, whose interval for one
    more source is compared with these.
    """
    plain = hold_out_levels(levels)
    found = {"none": level_block(levels, plain, plain)}
    tests = {name: stats.spearmanr(values, levels) for name, values in predictors.items()}
    corrected = holm({name: float(test.pvalue) for name, test in tests.items()})
    for name, test in tests.items():
        block = level_block(levels, hold_out_levels(levels, predictors[name]), plain)
        found[name] = {"rho": float(test.statistic), "p": float(test.pvalue), "p_holm": corrected[name], **block}
    if earlier is None:
        return {"predictors": found, "earlier": None, "inside_earlier": None}
    error = float(np.std(earlier, ddof=1) * np.sqrt(1 + 1 / len(earlier)))
    interval = plain_interval(float(np.mean(earlier)), error, len(earlier) - 1)
    return {"predictors": found, "earlier": interval, "inside_earlier": count_inside(levels, [interval] * len(levels))}


def level_block(levels, rows, plain):
    """Coverage, mean width, root mean square error and R2 against the others' mean, of the rows of hold_out_levels."""
    return {
        "held_out": count_inside(levels, rows[:, 1:]),
        "width": float((rows[:, 2] - rows[:, 1]).mean()),
        "error": float(np.sqrt(((levels - rows[:, 0]) ** 2).mean())),
        "r2": r_squared(levels, rows[:, 0], plain[:, 0]),
    }


def hold_out_bystanders(closeness, outcome, used):
    """(predicted, low, high), each [S, P]: every pair from other sources and other personas; NaN where there is no pair.

    closeness, outcome [S, P]: NaN for a source itself and its negatives. used: whether the lines have a slope on closeness.
    """
    predicted = np.full((3, *outcome.shape), np.nan)
    for fold in folds_of(outcome.shape[1], 0):
        for source in range(len(outcome)):
            others = np.delete(np.arange(len(outcome)), source)
            known, values = closeness[others].copy(), outcome[others].copy()
            known[:, fold] = values[:, fold] = np.nan
            known[np.isnan(values)] = np.nan
            predicted[:, source, fold] = calibrate_new(known, values[None], used).predict(closeness[source, fold])
    return np.where(np.isnan(outcome), np.nan, predicted)


def describe_bystanders(closeness, outcome):
    """Can the leakage of one more source's bystanders be predicted? Of hold_out_bystanders, with closeness and without.

    per_source: lowest coverage of a source. gain: mean over sources of the squared error without closeness minus that with it, its
    Student's t interval over sources, and the share of the error that it is.
    """
    found, errors = {}, {}
    for name, used in (("closeness", True), ("none", False)):
        predicted, low, high = hold_out_bystanders(closeness, outcome, used)
        inside = np.where(np.isnan(outcome), np.nan, (low <= outcome) & (outcome <= high))
        errors[name] = np.nanmean((outcome - predicted) ** 2, axis=1)
        found[name] = {
            "pairs": int((~np.isnan(outcome)).sum()),
            "coverage": float(np.nanmean(inside)),
            "lowest_source": float(np.nanmean(inside, axis=1).min()),
            "width": float(np.nanmean(high - low)),
            "error": float(np.sqrt(errors[name].mean())),
        }
    gain = errors["none"] - errors["closeness"]
    error = float(gain.std(ddof=1) / np.sqrt(len(gain)))
    interval = plain_interval(float(gain.mean()), error, len(gain) - 1)
    return {**found, "gain": {"mean": float(gain.mean()), "interval": interval, "share": float(gain.mean() / errors["none"].mean())}}
