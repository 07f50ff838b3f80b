"""Pair-specific effect: the correlation of cosine with leakage after removing source and bystander means."""

import numpy as np
from scipy import stats

from persona_leakage.infrastructure.intervals import correlation_interval, jackknife_error
from persona_leakage.infrastructure.undefined import finite, undefined
from persona_leakage.statistics.core.ranks import double_centre

KEYS = ("r", "interval", "gain_adjusted_r", "interval_over_sources", "n_bystanders", "sources")


def describe_double_centred(matrices, sources):
    """Per layer the block KEYS: Pearson's r of cosine and log-odds of leakage after double centring, and its jackknife interval.

    gain_adjusted_r: the same once each source may spread more or less steeply what bystanders do in
    general (gain_adjust). interval_over_sources: for sources like these, from leaving each out.
    Over the common bystanders of ``sources`` (indices). Undefined for one source, or where double
    centring leaves nothing.
    """
    if len(sources) < 2:
        return [undefined(f"{len(sources)} source(s) to compare; at least 2 needed", *KEYS)] * len(matrices.layers)
    y = matrices.common(matrices.logits(), sources)
    return [{**describe_layer(x, y), "sources": matrices.names(sources)} for x in matrices.common(matrices.cosines["cosine"], sources)]


def describe_layer(x, y):
    """The block of one layer: x, y [sources, bystanders]."""
    if min(np.ptp(double_centre(values)) for values in (x, y)) < 1e-12:
        return undefined("no variation is left after double centring", *KEYS[:-1])
    size = x.shape[1]
    centred = double_centre(x), double_centre(y)
    r = float(stats.pearsonr(*(values.ravel() for values in centred)).statistic)
    error = jackknife_error(leave_one_out(x, y))
    adjusted = [gain_adjust(values - values.mean(axis=1, keepdims=True)) for values in (x, y)]
    return {
        "r": r,
        "interval": correlation_interval(r, error, size - 1),
        "gain_adjusted_r": finite(correlate_all(*(values[None] for values in adjusted))[0]),
        "interval_over_sources": interval_without_sources(x, y, r),
        "n_bystanders": size,
        "undefined": None,
    }


def interval_without_sources(x, y, r):
    """95 % interval of r for sources like these: jackknife over the sources, centred again each time; None for two sources."""
    if len(x) < 3:
        return None
    kept = [np.delete(np.arange(len(x)), row) for row in range(len(x))]
    values = np.array([correlate_all(double_centre(x[rows])[None], double_centre(y[rows])[None])[0] for rows in kept])
    return correlation_interval(r, jackknife_error(values), len(x) - 1)


def leave_one_out(x, y):
    """The double-centred correlation without each bystander in turn: [bystanders]; NaN where nothing is left."""
    size = x.shape[1]
    products = []
    for first, second in ((x, y), (x, x), (y, y)):
        first, second = (values - values.mean(axis=0) for values in (first, second))
        each = first * second
        sums = (first.sum(axis=1, keepdims=True) - first) * (second.sum(axis=1, keepdims=True) - second)
        products.append(each.sum() - each.sum(axis=0) - sums.sum(axis=0) / (size - 1))
    scale = np.sqrt(products[1] * products[2])
    return np.divide(products[0], scale, out=np.full_like(scale, np.nan), where=scale > 1e-12)


def gain_adjust(values):
    """Each source's centred values [..., S, M] minus their regression on the mean of the other sources' values."""
    others = (values.sum(axis=-2, keepdims=True) - values) / (values.shape[-2] - 1)
    scale = (others**2).sum(axis=-1, keepdims=True)
    slope = (values * others).sum(axis=-1, keepdims=True) / np.where(scale > 1e-12, scale, np.inf)
    return values - slope * others


def correlate_all(x, y):
    """Correlation of all values at once of [draws, S, M] arrays whose mean is 0: [draws]; NaN where nothing is left."""
    lengths = np.sqrt((x**2).sum(axis=(1, 2)) * (y**2).sum(axis=(1, 2)))
    return np.divide((x * y).sum(axis=(1, 2)), lengths, out=np.full_like(lengths, np.nan), where=lengths > 1e-9)
