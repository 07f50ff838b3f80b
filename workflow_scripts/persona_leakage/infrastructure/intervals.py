"""Intervals: of a share, and of a correlation from its standard error."""

import math
from functools import cache

import numpy as np

LEVEL = 0.95
NORMAL_QUANTILE = 1.959963984540054  # of (1 + LEVEL) / 2


def wilson_interval(found, total):
    """Wilson's 95 % interval of a share (Wilson 1927): [low, high]. It covers the sampling noise of one cell, not a difference of cells."""
    found, total, z = int(found), int(total), NORMAL_QUANTILE
    share = found / total
    middle = (2 * total * share + z**2) / (2 * (total + z**2))
    half = z / (2 * (total + z**2)) * math.sqrt(4 * total * share * (1 - share) + z**2)
    return [0.0 if found == 0 else middle - half, 1.0 if found == total else middle + half]


@cache
def t_quantile(freedom):
    """Student's t at (1 + LEVEL) / 2. SciPy is imported here: scores need only wilson_interval, and it takes longer than they do."""
    from scipy import stats

    return float(stats.t.ppf((1 + LEVEL) / 2, freedom))


def jackknife_error(values):
    """Standard error of a statistic from its values without each of the n units in turn (Tukey; Efron & Stein 1981): [n] -> float."""
    return float(np.sqrt((len(values) - 1) * np.var(values)))


def correlation_interval(estimate, error, freedom):
    """95 % interval of a correlation: Student's t around Fisher's z, back-transformed; None if |estimate| is 1 or the error unknown."""
    if estimate is None or not math.isfinite(estimate) or abs(estimate) > 1 - 1e-12 or not math.isfinite(error):
        return None
    half = t_quantile(freedom) * error / (1 - estimate**2)
    return [math.tanh(math.atanh(estimate) - half), math.tanh(math.atanh(estimate) + half)]


def plain_interval(estimate, error, freedom):
    """95 % interval of any estimate: Student's t around it."""
    half = t_quantile(freedom) * error
    return [estimate - half, estimate + half] if math.isfinite(half) else None


def next_interval(correlations):
    """95 % interval of one more correlation like these: Student's t on the mean and deviation of Fisher's z.

    Exact for normal z however much they share; None for one correlation, or if one is exactly 1.
    """
    if len(correlations) < 2 or (np.abs(correlations) > 1 - 1e-12).any():
        return None
    z = np.arctanh(correlations)
    half = t_quantile(len(z) - 1) * (float(z.std(ddof=1)) * math.sqrt(1 + 1 / len(z)))
    return [math.tanh(float(z.mean()) - half), math.tanh(float(z.mean()) + half)]


def interval_over(correlations):
    """95 % interval of the mean correlation of sources like these: Student's t on Fisher's z; None if one is exactly 1."""
    if len(correlations) < 2 or not np.isfinite(correlations).all() or (np.abs(correlations) > 1 - 1e-12).any():
        return None
    z = np.arctanh(correlations)
    half = t_quantile(len(z) - 1) * z.std(ddof=1) / math.sqrt(len(z))
    return [math.tanh(z.mean() - half), math.tanh(z.mean() + half)]
