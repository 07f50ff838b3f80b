"""Ranks and correlations over the last axis, many rows at once."""

import numpy as np
from scipy import stats


def standardise(values):
    """Centre and scale to unit length over the last axis, so that a dot product is a correlation; a constant row becomes NaN."""
    centred = values - values.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    return np.divide(centred, length, out=np.full_like(centred, np.nan), where=length > 1e-12)


def standard_ranks(values):
    """Mean ranks over the last axis, centred, of unit length: dot products of two are Spearman correlations."""
    return standardise(stats.rankdata(values, axis=-1))


def rank_correlation(x, y):
    """Spearman correlation of two vectors over the positions where both are known; NaN if one is constant there."""
    known = ~(np.isnan(x) | np.isnan(y))
    return float(standard_ranks(x[known]) @ standard_ranks(y[known]))


def weighted_ranks(values, weights):
    """Mean ranks of ``values`` [n] in samples in which value i stands weights[b, i] times: [samples, n], up to a shift of one half.

    Without building the samples: the rank of a value is the weight below it plus half of the weight level with it.
    """
    levels, level_of = np.unique(values, return_inverse=True)
    at_level = np.zeros((len(levels), len(weights)))
    np.add.at(at_level, level_of, weights.T)
    return (np.cumsum(at_level, axis=0) - at_level / 2)[level_of].T


def weighted_correlation(x, y, weights):
    """Pearson correlation in each weighted sample: x, y [samples, n] or [n], weights [samples, n] -> [samples]; NaN if one is constant."""
    share = weights / weights.sum(axis=1, keepdims=True)
    dx = x - np.einsum("bn,bn->b", share, np.broadcast_to(x, share.shape))[:, None]
    dy = y - np.einsum("bn,bn->b", share, np.broadcast_to(y, share.shape))[:, None]
    products = [np.einsum("bn,bn,bn->b", share, first, second) for first, second in ((dx, dy), (dx, dx), (dy, dy))]
    scale = np.sqrt(products[1] * products[2])
    return np.divide(products[0], scale, out=np.full_like(scale, np.nan), where=scale > 1e-12)


def double_centre(values):
    """Remove the row means and the column means of [..., rows, columns]."""
    return values - values.mean(axis=-1, keepdims=True) - values.mean(axis=-2, keepdims=True) + values.mean(axis=(-2, -1), keepdims=True)
