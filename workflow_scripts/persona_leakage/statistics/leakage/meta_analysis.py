"""Random-effects meta-analysis of the sources' correlations: mean, heterogeneity, and prediction for a new source."""

import math

import numpy as np
from scipy import stats

from persona_leakage.infrastructure.intervals import LEVEL
from persona_leakage.infrastructure.undefined import undefined

KEYS = ("n_sources", "rho", "interval", "prediction_interval", "interval_shared", "next_source_interval", "i2", "tau2")


def combine_correlations(rhos, sizes, shared=0.0):
    """Pool Spearman correlations [sources] of ``sizes`` pairs each, on Fisher's z.

    Variance of z: (1 + rho^2 / 2) / (n - 3) (Bonett & Wright 2000); between-source variance by
    DerSimonian & Laird; interval by Hartung, Knapp, Sidik & Jonkman with k - 1 degrees of freedom;
    prediction interval with k - 2 (Higgins, Thompson & Spiegelhalter 2009). These take the sources for
    independent. interval_shared does not: it adds ``shared``, the variance of the mean correlation that comes from
    all sources having the same bystanders (None if that is NaN). next_source_interval is for the correlation that one more source would
    show with the same bystanders: Student's t on the plain mean and deviation of z, exact for normal z however much
    the sources share, where the textbook interval with few sources is too narrow (Partlett & Riley 2017).
    statsmodels.stats.meta_analysis.combine_effects weights by a negative between-source variance where this one takes 0.
    """
    rhos, sizes = np.asarray(rhos, dtype=float), np.asarray(sizes, dtype=float)
    if len(rhos) < 2:
        return undefined(f"{len(rhos)} source with a correlation; at least 2 needed", *KEYS)
    if (sizes <= 3).any() or (np.abs(rhos) > 1 - 1e-12).any():
        return undefined("a source has fewer than 4 bystanders or a correlation of exactly 1", *KEYS)
    effects, variances = np.arctanh(rhos), (1 + rhos**2 / 2) / (sizes - 3)
    freedom = len(rhos) - 1
    weights = 1 / variances
    spread = float((weights * (effects - np.average(effects, weights=weights)) ** 2).sum())
    scale = weights.sum() - (weights**2).sum() / weights.sum()
    tau2 = max(0.0, (spread - freedom) / scale)
    weights = 1 / (variances + tau2)
    mean = float(np.average(effects, weights=weights))
    error = math.sqrt((weights * (effects - mean) ** 2).sum() / freedom / weights.sum())
    wider = math.hypot(error, shared**0.5 / (1 - math.tanh(mean) ** 2))
    deviation = float(effects.std(ddof=1)) * math.sqrt(1 + 1 / len(rhos))
    return {
        "n_sources": len(rhos),
        "rho": math.tanh(mean),
        "interval": z_interval(mean, error, freedom),
        "prediction_interval": z_interval(mean, math.sqrt(tau2 + error**2), freedom - 1) if freedom > 1 else None,
        "interval_shared": z_interval(mean, wider, freedom) if math.isfinite(wider) else None,
        "next_source_interval": z_interval(float(effects.mean()), deviation, freedom),
        "i2": float(max(0.0, (spread - freedom) / spread)) if spread > 0 else 0.0,
        "tau2": float(tau2),
        "undefined": None,
    }


def z_interval(mean, error, freedom):
    """Back-transformed mean +- t * error."""
    half = stats.t.ppf((1 + LEVEL) / 2, freedom) * error
    return [math.tanh(mean - half), math.tanh(mean + half)]
