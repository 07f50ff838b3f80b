"""Permutation tests: the bystanders are relabelled for all sources at once (QAP), corrected for testing every layer (max-T)."""

import numpy as np

from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.infrastructure.undefined import undefined
from persona_leakage.statistics.core.ranks import double_centre, standard_ranks

TEST_KEYS = ("statistic", "null_mean", "null_sd", "z", "p", "p_max_t")
TOLERANCE = 1e-12  # statistics that differ by rounding alone count as equal


def generator_of(purpose):
    """A generator whose seed depends on its purpose alone, so that the same table gives the same numbers."""
    return np.random.default_rng(derive_seed("statistics", purpose))


def draw_permutations(generator, size, count, groups=None):
    """Permutations of range(size): [count, size]; with ``groups`` [size] only within each group."""
    indices = np.tile(np.arange(size), (count, 1))
    for group in [None] if groups is None else sorted(set(groups)):
        members = np.arange(size) if group is None else np.flatnonzero(groups == group)
        indices[:, members] = members[generator.permuted(np.tile(np.arange(len(members)), (count, 1)), axis=1)]
    return indices


def null_moments(products, groups=None):
    """Exact mean and standard deviation, over all permutations (within groups), of sum_p products[p, perm(p)].

    products: [personas, personas]. Source: Hoeffding (1951), the permutation central limit theorem's moments.
    """
    groups = np.zeros(len(products)) if groups is None else groups
    mean = variance = 0.0
    for group in sorted(set(groups)):
        members = np.flatnonzero(groups == group)
        block = products[np.ix_(members, members)]
        mean += block.sum() / len(members)
        if len(members) > 1:
            variance += (double_centre(block) ** 2).sum() / (len(members) - 1)
    return mean, float(np.sqrt(variance))


def permutation_test(products, permutations, groups=None, inflation=1.0):
    """Two-sided test of sum_p products[l, p, p] for all layers l at once, under relabelling of the personas.

    products: [layers, personas, personas], entry (p, q) = what persona p's leakage and persona q's
    geometry contribute if they belong together. inflation: by how much the statistic spreads more than its permutations
    do, where residuals are permuted. permutations: [count, personas] from draw_permutations,
    the same ``groups``. p = (1 + b) / (1 + count), see share_at_least. Returns a list of {TEST_KEYS}, one for each layer;
    p_max_t compares with the largest |z| over the layers of each permutation (Westfall & Young 1993).
    None if a layer's statistic is the same under all permutations.
    """
    drawn = null_draws(products, permutations, groups)
    if drawn is None:
        return None
    observed, means, sds, null_z = drawn
    return summarise(observed, means, sds * inflation, null_z)


def compare_with_draws(observed, null, size=np.abs):
    """The layers of a test (see summarise): statistics [layers] and those of every draw [layers, draws].

    None if a layer's are not known or do not vary.
    """
    means, sds = null.mean(axis=1), null.std(axis=1)
    if not (np.isfinite(observed).all() and np.isfinite(sds).all() and (sds > TOLERANCE).all()):
        return None
    return summarise(observed, means, sds, (null - means[:, None]) / sds[:, None], size)


def null_draws(products, permutations, groups=None):
    """(statistics, null means, null standard deviations) [layers] and the z of every draw [layers, draws]; arguments as permutation_test.

    None if a layer's statistic is the same under all permutations.
    """
    moments = [null_moments(layer, groups) for layer in products]
    if any(sd < TOLERANCE for _, sd in moments):
        return None
    diagonal = np.arange(products.shape[1])
    drawn = np.stack([layer[diagonal, permutations].sum(axis=1) for layer in products])
    means, sds = (np.array(values) for values in zip(*moments, strict=True))
    return products[:, diagonal, diagonal].sum(axis=1), means, sds, (drawn - means[:, None]) / sds[:, None]


def summarise(observed, means, sds, null_z, size=np.abs):
    """The layers of a max-T test from its statistics [layers] and the z of every draw [layers, draws]: a list of {TEST_KEYS}.

    size: what makes a z extreme: np.abs for a two-sided test, np.positive for one of high values.
    """
    z, null_z = (observed - means) / sds, size(null_z)
    highest = null_z.max(axis=0)
    return [
        {
            "statistic": float(observed[index]),
            "null_mean": float(means[index]),
            "null_sd": float(sds[index]),
            "z": float(z[index]),
            "p": share_at_least(null_z[index], size(z[index])),
            "p_max_t": share_at_least(highest, size(z[index])),
        }
        for index in range(len(z))
    ]


def layer_of(test, index, reason="all relabellings give the same"):
    """One layer of a test, or ``reason``, why there is none (``test`` None)."""
    return undefined(reason, *TEST_KEYS) if test is None else {**test[index], "undefined": None}


def share_at_least(draws, value):
    """(1 + number of draws that reach ``value``) / (1 + number of draws)."""
    return float((1 + np.sum(draws >= value - TOLERANCE)) / (1 + len(draws)))


def rank_products(x, y):
    """Products whose diagonal sums to the mean within-source Spearman correlation: x [layers, S, M], y [S, M] -> [layers, M, M]."""
    ranks_x, ranks_y = standard_ranks(x), standard_ranks(y)
    return np.einsum("sp,lsq->lpq", ranks_y, ranks_x, optimize=True) / len(y)


def centred_products(x, y):
    """Products whose diagonal sums to the double-centred correlation: both sides minus source and persona means, scaled to length one."""
    if len(y) < 2:
        return np.zeros((len(x), y.shape[1], y.shape[1]))
    x, y = double_centre(x), double_centre(y)
    lengths = np.linalg.norm(x, axis=(1, 2)) * np.linalg.norm(y)
    return np.einsum("sp,lsq->lpq", y, x, optimize=True) / np.where(lengths > TOLERANCE, lengths, np.inf)[:, None, None]
