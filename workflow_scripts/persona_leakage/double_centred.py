"""What belongs to the pair alone: the correlation of cosine with leakage after source means and bystander means are taken out."""

import numpy as np
from scipy import stats

from persona_leakage.intervals import correlation_interval, jackknife_error
from persona_leakage.ranks import double_centre
from persona_leakage.undefined import undefined

KEYS = ("r", "interval", "n_bystanders", "sources")


def describe_double_centred(matrices, sources):
    """Per layer {"r", its jackknife interval over bystanders, "n_bystanders", "sources"}: Pearson, cosine against log-odds of leakage.

    Over the common bystanders of ``sources`` (places). Undefined for one source, or where double centring leaves nothing.
    """
    names = [matrices.sources[place] for place in sources]
    if len(sources) < 2:
        return [undefined(f"{len(sources)} source(s) to compare; at least 2 needed", *KEYS)] * len(matrices.layers)
    chosen = np.ix_(sources, matrices.bystanders)
    y = matrices.logits()[chosen]
    return [{**describe_layer(layer[chosen], y), "sources": names} for layer in matrices.cosines["cosine"]]


def describe_layer(x, y):
    """The block of one layer: x, y [sources, bystanders]."""
    if min(np.ptp(double_centre(values)) for values in (x, y)) < 1e-12:
        return undefined("no variation is left after double centring", *KEYS[:-1])
    size = x.shape[1]
    r = float(stats.pearsonr(double_centre(x).ravel(), double_centre(y).ravel()).statistic)
    error = jackknife_error(leave_one_out(x, y))
    return {"r": r, "interval": correlation_interval(r, error, size - 1), "n_bystanders": size, "undefined": None}


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
