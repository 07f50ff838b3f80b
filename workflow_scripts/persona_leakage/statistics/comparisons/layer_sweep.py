"""Which layer and token position predicts leakage best? Tests are corrected for testing every choice (max-T)."""

from dataclasses import replace

import numpy as np

from persona_leakage.geometry.cosine import cosine_matrix
from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.infrastructure.undefined import finite, undefined
from persona_leakage.statistics.core.bootstrap import describe_difference, describe_mean, draw_bootstrap, present
from persona_leakage.statistics.core.permutation import TEST_KEYS, draw_permutations, generator_of, null_draws, rank_products, summarise
from persona_leakage.statistics.core.ranks import standard_ranks
from persona_leakage.statistics.leakage.even_spread import leave_out_even
from persona_leakage.statistics.leakage.permuted_sources import draw_permuted_sources, mean_test, permuted_layer, rank_correlations

LEVEL = 0.95


def swept_matrices(matrices, names, vectors):
    """(PairMatrices whose layers are the choices, in the order of ``vectors``, cosines [choices, P, P]) from those of one layer.

    names: the panel. vectors: {(position, layer): centroids [personas, hidden]}.
    """
    indices = [names.index(name) for name in matrices.personas]
    panel = np.stack([cosine_matrix(centroids, centred=True)[np.ix_(indices, indices)] for centroids in vectors.values()])
    cosines = panel[:, [matrices.personas.index(name) for name in matrices.sources]]
    cosines[:, np.isnan(matrices.cosines["cosine"][0])] = np.nan
    return replace(matrices, layers=list(vectors), cosines={"cosine": cosines}), panel


def analyse_sweep(matrices, panel_cosines, headline, options, counts=None):
    """The content of sweep.json without its meta.

    matrices, panel_cosines: of swept_matrices(). headline: one of its choices (position, layer). options: "permutations", "bootstraps".
    counts: {"found", "total"} [sources, personas, questions], or None (see tables/question_counts.py).
    """
    matrices = leave_out_even(matrices, counts)
    sources, reasons, problem = matrices.usable_sources()
    result = {
        "headline": dict(zip(("position", "layer"), headline, strict=True)),
        "choices": len(matrices.layers),
        "sources": matrices.names(sources),
        "sources_left_out": reasons,
        "bystanders": len(matrices.bystanders),
        "undefined": problem,
        "best": undefined(problem, "position", "layer"),
        "positions": {position: {"best_layer": None, "layers": {}} for position, _ in matrices.layers},
    }
    if problem:
        return result
    rhos = source_correlations(matrices)
    chance = chance_of_choices(matrices, sources, options["permutations"])
    chosen, reason = draw_permuted_sources(matrices, sources, panel_cosines, options["permutations"], generator_of("sweep stand-ins"))
    permuted = mean_test(rank_correlations(matrices, sources, chosen.cosines, chosen.personas), chosen) if chosen else None
    bootstrap = draw_bootstrap(matrices, sources, options["bootstraps"], derive_seed("statistics", "sweep bootstrap"), counts)
    headline_index = matrices.layers.index(headline)
    for index, (position, layer) in enumerate(matrices.layers):
        used, used_at_headline = rhos[index, sources], rhos[headline_index, sources]
        result["positions"][position]["layers"][str(layer)] = {
            "per_source": {name: finite(rho) for name, rho in zip(matrices.sources, rhos[index], strict=True)},
            "within_source": describe_mean(bootstrap, index, used),
            "chance": chance[index],
            "permuted_sources": permuted_layer(permuted, chosen, reason, index),
            "difference_from_headline": describe_difference(bootstrap, index, headline_index, used, used_at_headline),
        }
    means = dict(zip(matrices.layers, rhos[:, sources].mean(axis=1), strict=True))
    for position, block in result["positions"].items():
        block["best_layer"] = max((choice for choice in means if choice[0] == position), key=means.get)[1]
    position, layer = max(means, key=means.get)
    result["best"] = {"position": position, "layer": layer, "undefined": None}
    return result


def source_correlations(matrices):
    """Spearman correlation of each choice's cosine with leakage, source by source: [choices, sources]; NaN where it is undefined."""
    found = np.full((len(matrices.layers), len(matrices.sources)), np.nan)
    for index in range(len(matrices.sources)):
        members = present(matrices, index)
        found[:, index] = standard_ranks(matrices.cosines["cosine"][:, index, members]) @ standard_ranks(matrices.leakage[index, members])
    return found


def chance_of_choices(matrices, sources, count):
    """The joint permutation test of every choice: [{TEST_KEYS, "band", "undefined"}].

    p_max_t is corrected for testing all choices; "band" contains the mean correlations of all choices
    at once in LEVEL of the relabelled panels.
    """
    products = rank_products(matrices.common(matrices.cosines["cosine"], sources), matrices.common(matrices.leakage, sources))
    drawn = null_draws(products, draw_permutations(generator_of("sweep permutations"), len(matrices.bystanders), count))
    if drawn is None:
        return [undefined("the sources' ranks cancel out: all relabellings give the same", *TEST_KEYS, "band")] * len(matrices.layers)
    observed, means, sds, null_z = drawn
    critical = float(np.quantile(np.abs(null_z).max(axis=0), LEVEL, method="higher"))
    bands = np.stack([means - critical * sds, means + critical * sds], axis=1).tolist()
    tests = summarise(observed, means, sds, null_z)
    return [{**test, "band": band, "undefined": None} for test, band in zip(tests, bands, strict=True)]
