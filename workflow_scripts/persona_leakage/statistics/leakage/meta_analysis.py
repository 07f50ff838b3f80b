"""Random-effects meta-analysis of the sources' correlations, and what one more source would show."""

import math

import numpy as np

from persona_leakage.infrastructure.intervals import next_interval
from persona_leakage.infrastructure.undefined import undefined

KEYS = ("n_sources", "rho", "next_source_interval")


def combine_correlations(rhos, sizes):
    """Pool Spearman correlations [sources] of ``sizes`` pairs each, on Fisher's z: {KEYS, "undefined"}.

    rho: variance of z (1 + rho^2 / 2) / (n - 3) (Bonett & Wright 2000), between-source variance by DerSimonian & Laird.
    next_source_interval: 95 %, for the correlation that one more source would show with the same bystanders (next_interval); the textbook
    interval is too narrow with few sources (Partlett & Riley 2017).
    statsmodels.stats.meta_analysis.combine_effects weights by a negative between-source variance where this one takes 0.
    """
    rhos, sizes = np.asarray(rhos, dtype=float), np.asarray(sizes, dtype=float)
    if len(rhos) < 2:
        return undefined(f"{len(rhos)} source with a correlation; at least 2 needed", *KEYS)
    if (sizes <= 3).any() or (np.abs(rhos) > 1 - 1e-12).any():
        return undefined("a source has fewer than 4 bystanders or a correlation of exactly 1", *KEYS)
    effects, variances = np.arctanh(rhos), (1 + rhos**2 / 2) / (sizes - 3)
    weights = 1 / variances
    spread = float((weights * (effects - np.average(effects, weights=weights)) ** 2).sum())
    scale = weights.sum() - (weights**2).sum() / weights.sum()
    between = max(0.0, (spread - (len(rhos) - 1)) / scale)
    mean = float(np.average(effects, weights=1 / (variances + between)))
    return {"n_sources": len(rhos), "rho": math.tanh(mean), "next_source_interval": next_interval(rhos), "undefined": None}
