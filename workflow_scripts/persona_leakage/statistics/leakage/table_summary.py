"""The main correlations of any pairs table of one layer: per source, their mean with its interval, and a permutation test."""

import numpy as np

from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.infrastructure.undefined import undefined
from persona_leakage.statistics.core.bootstrap import MEAN_KEYS, Bootstrap, describe_mean, describe_source
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.core.permutation import draw_permutations, permutation_test, rank_products
from persona_leakage.statistics.leakage.correlations import correlate_sources

TEST_KEYS = ("statistic", "null_mean", "null_sd", "z", "p", "p_max_t")


def usable(matrices):
    """(places of the sources that take part in joint statistics, {source: why it does not}, why none can or None)."""
    if matrices.problem:
        return [], {}, matrices.problem
    sources, reasons = matrices.usable_sources(matrices.bystanders)
    return sources, reasons, None if sources else "; ".join(f"{name}: {reason}" for name, reason in reasons.items())


def association(matrices, sources, count, purpose, groups=None):
    """Joint permutation test of the mean correlation at the first layer; with ``groups`` [bystanders] only within each group."""
    chosen = np.ix_(sources, matrices.bystanders)
    products = rank_products(matrices.cosines["cosine"][:1][:, chosen[0], chosen[1]], matrices.leakage[chosen])
    generator = np.random.default_rng(derive_seed("statistics", purpose))
    test = permutation_test(products, draw_permutations(generator, len(matrices.bystanders), count, groups), groups)
    return {**test[0], "undefined": None} if test else undefined("all relabellings give the same", *TEST_KEYS)


def summarise_table(table, options, purpose):
    """{"per_source", "mean", "association", "sources_left_out"} of the pairs of one layer.

    per_source: {source: {"rho", "interval", "n", "undefined"}}; mean: as describe_mean; association: the permutation test.
    options: "permutations" and "bootstraps"; purpose: what the seeds are hashed from.
    """
    matrices = matrices_of(table)
    sources, reasons, problem = usable(matrices)
    blocks = correlate_sources(table)
    per_source = {
        name: {"rho": block["spearman_rho"], "interval": None, "n": block["n"], "undefined": block["undefined"]}
        for name, block in blocks.items()
    }
    if problem:
        mean, test = undefined(problem, *MEAN_KEYS), undefined(problem, *TEST_KEYS)
    else:
        bootstrap = Bootstrap(matrices, sources, options["bootstraps"], derive_seed("statistics", purpose, "bootstrap"))
        names = [matrices.sources[place] for place in sources]
        for row, name in enumerate(names):
            per_source[name]["interval"] = describe_source(bootstrap, 0, row, per_source[name]["rho"])
        mean = describe_mean(bootstrap, 0, [per_source[name]["rho"] for name in names])
        test = association(matrices, sources, options["permutations"], purpose)
    return {"per_source": per_source, "mean": mean, "association": test, "sources_left_out": reasons}
