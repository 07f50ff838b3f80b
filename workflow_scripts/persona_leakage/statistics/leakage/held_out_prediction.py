"""Prediction of leakage for held-out sources and personas."""

import numpy as np
from scipy import stats

from persona_leakage.behaviours.training_check import FLOOR
from persona_leakage.infrastructure.undefined import undefined

LEAKS = FLOOR  # a bystander "leaks" above this rate
SOURCE_KEYS = ("per_source", "median_r2_source_mean_known", "median_r2_nothing_known")


def area_under_curve(scores, positive):
    """Chance that a positive scores above a negative, ties counting half (Mann & Whitney 1947); None if one of them is absent."""
    above, below = scores[positive], scores[~positive]
    if not len(above) or not len(below):
        return None
    return float(stats.mannwhitneyu(above, below, method="asymptotic").statistic / (len(above) * len(below)))


def shared_line(x, y):
    """(slope within sources, mean intercept) of y = a_s + b x over sources: x, y [sources, bystanders]."""
    dx, dy = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    slope = (dx * dy).sum() / (dx * dx).sum()
    return slope, float((y.mean(axis=1) - slope * x.mean(axis=1)).mean())


def r_squared(y, predicted, reference):
    """1 - squared error of the prediction / squared error of the reference prediction; negative if the reference is better."""
    return float(1 - ((y - predicted) ** 2).sum() / ((y - reference) ** 2).sum())


def leave_one_source_out(x, y, rates, names):
    """Predict each source's log-odds of leakage from a line fitted to the other sources: x, y, rates [sources, bystanders].

    R2 against the source's own mean, with the mean known (only the slope is borrowed) and with nothing known (the
    intercept is the other sources' mean). level_error: predicted minus true mean, in log-odds. AUC: does the cosine tell
    bystanders above LEAKS from the others; None where the outcome is no rate (``rates`` None).
    """
    if len(names) < 2:
        return undefined(f"{len(names)} source with varying leakage; at least 2 needed", *SOURCE_KEYS)
    leaks = None if rates is None else rates > LEAKS
    per_source = {}
    for index, name in enumerate(names):
        others = np.delete(np.arange(len(names)), index)
        slope, intercept = shared_line(x[others], y[others])
        mean = y[index].mean()
        predicted = intercept + slope * x[index]
        per_source[name] = {
            "slope": float(slope),
            "level_error": float(predicted.mean() - mean),
            "r2_source_mean_known": r_squared(y[index], mean + slope * (x[index] - x[index].mean()), mean),
            "r2_nothing_known": r_squared(y[index], predicted, mean),
            "auc": None if leaks is None else area_under_curve(x[index], leaks[index]),
        }
    return {
        "per_source": per_source,
        "median_r2_source_mean_known": float(np.median([block["r2_source_mean_known"] for block in per_source.values()])),
        "median_r2_nothing_known": float(np.median([block["r2_nothing_known"] for block in per_source.values()])),
        "undefined": None,
    }


def leave_one_persona_out(x, y, names):
    """R2 of predicting a persona from the source's other bystanders, against their mean: x, y [sources, bystanders] -> {source: R2}.

    The line is refitted without each persona (PRESS, Allen 1974), by its leverage; None if only one persona has another cosine.
    """
    size = x.shape[1]
    scores = {}
    for name, cosine, leakage in zip(names, x, y, strict=True):
        dx, dy = cosine - cosine.mean(), leakage - leakage.mean()
        residuals = dy - dx * (dx @ dy) / (dx @ dx)
        freedom = 1 - 1 / size - dx**2 / (dx @ dx)
        if (freedom < 1e-9).any():
            scores[name] = None  # without that persona the cosines are all the same
            continue
        scores[name] = float(1 - ((residuals / freedom) ** 2).sum() / ((dy * size / (size - 1)) ** 2).sum())
    return scores


def describe_prediction(matrices, sources):
    """The prediction block of every layer, over the common bystanders."""
    y, rates = matrices.common(matrices.logits(), sources), None if matrices.linear else matrices.common(matrices.rate, sources)
    names, blocks = matrices.names(sources), []
    for x in matrices.common(matrices.cosines["cosine"], sources):
        blocks.append(
            {
                "threshold": None if matrices.linear else LEAKS,
                "leave_one_source_out": leave_one_source_out(x, y, rates, names),
                "leave_one_persona_out": {"per_source": leave_one_persona_out(x, y, names), "undefined": None},
            }
        )
    return blocks
