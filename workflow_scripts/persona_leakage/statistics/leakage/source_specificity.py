"""Does the source's own geometry predict its leakage better than any other persona's?"""

import numpy as np

from persona_leakage.infrastructure.undefined import finite, undefined
from persona_leakage.statistics.core.permutation import compare_with_draws
from persona_leakage.statistics.core.ranks import standard_ranks
from persona_leakage.statistics.leakage.permuted_sources import rank_correlations

SPECIFICITY_KEYS = ("matrix", "pool", "ranks")
EFFECTIVE_KEYS = ("participation_ratio",)
RANK_KEYS = ("rho", "rank", "out_of", "rank_among_strangers", "strangers", "best", "best_rho")


def source_identity_test(correlations, source_rows, count, generator):
    """One-sided test that the true sources predict their own leakage better than personas drawn at random in their place.

    correlations: [layers, pool, sources]; source_rows [sources]: row of each source in the pool. Each draw gives every
    source a persona of the pool, its own included, no persona twice; statistic and maximum over the layers as in
    permutation_test, but for the higher values only. Valid where the sources could as well have been any
    personas of the pool.
    """
    size, sources = correlations.shape[1:]
    drawn = np.argsort(generator.random((count, size)), axis=1)[:, :sources]
    columns = np.arange(sources)
    observed = correlations[:, source_rows, columns].mean(axis=1)
    null = correlations[:, drawn, columns].mean(axis=2)
    return compare_with_draws(observed, null, size=np.positive)


def describe_rank(correlations, pool, source_row, related, names):
    """Where the true source stands among all permuted sources for its own leakage (1 = best predictor).

    correlations [pool], source_row: its row, related [personas]: its relatives, which a rank among strangers leaves out.
    """
    if not np.isfinite(correlations).all():
        return undefined("a permuted source has no correlation", *RANK_KEYS)
    better = correlations > correlations[source_row] + 1e-12
    strangers = ~related[pool]
    best = int(correlations.argmax())
    return {
        "rho": float(correlations[source_row]),
        "rank": 1 + int(better.sum()),
        "out_of": len(pool),
        "rank_among_strangers": 1 + int((better & strangers).sum()),
        "strangers": int(strangers.sum()),
        "best": names[pool[best]],
        "best_rho": float(correlations[best]),
        "undefined": None,
    }


def describe_specificity(matrices, sources, panel_cosines, count, generator):
    """(blocks, tests) of all layers: matrix and ranks for each layer, and the layers of source_identity_test (or None).

    panel_cosines: [layers, personas, personas] with NaN for pairs that were not measured, or None: then the pool is
    the sources alone, whose cosines the pairs table has.
    """
    if panel_cosines is None:
        size = len(matrices.personas)
        panel_cosines = np.full((len(matrices.layers), size, size), np.nan)
        rows = [matrices.personas.index(name) for name in matrices.sources]
        panel_cosines[:, rows] = matrices.cosines["cosine"]
        pool = np.array([rows[index] for index in sources])
    else:
        pool = np.arange(len(matrices.personas))
    names = matrices.names(sources)
    source_rows = np.array([pool.tolist().index(matrices.personas.index(name)) for name in names])
    found = rank_correlations(matrices, sources, panel_cosines[:, pool], pool)
    blocks = []
    for layer in found:
        ranks = {
            name: describe_rank(layer[:, index], pool, source_rows[index], matrices.related[sources[index]], matrices.personas)
            for index, name in enumerate(names)
        }
        blocks.append(
            {
                "matrix": [[finite(value) for value in layer[row]] for row in source_rows],
                "pool": "the sources" if len(pool) == len(names) else "all personas",
                "ranks": ranks,
                "undefined": None,
            }
        )
    return blocks, source_identity_test(found, source_rows, count, generator)


def effective_sources(matrices, sources):
    """How many sources' worth of different leakage profiles there are: participation ratio of their rank correlations.

    (sum of eigenvalues)^2 / sum of squared eigenvalues: 1 if all profiles over the common bystanders agree
    (or mirror each other), the number of sources if none correlates with another. Needs two sources.
    """
    if len(sources) < 2:
        return undefined(f"{len(sources)} source with varying leakage; at least 2 needed", *EFFECTIVE_KEYS)
    ranks = standard_ranks(matrices.common(matrices.leakage, sources))
    profiles = ranks @ ranks.T
    return {"participation_ratio": float(np.trace(profiles) ** 2 / (profiles**2).sum()), "undefined": None}
