"""Which predictor ranks the bystanders best? All are compared on the same pairs and the same resamples."""

from dataclasses import replace

import numpy as np

from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.infrastructure.undefined import undefined
from persona_leakage.statistics.core.bootstrap import describe_difference, describe_mean, describe_source, draw_bootstrap
from persona_leakage.statistics.core.permutation import draw_permutations, generator_of, permutation_test, rank_products
from persona_leakage.statistics.core.ranks import standard_ranks
from persona_leakage.statistics.leakage.baseline_predictors import AFTER_TRAINING, baseline_predictors
from persona_leakage.statistics.leakage.even_spread import leave_out_even

KEYS = ("sources", "bystanders", "order", "predictors", "left_out")


def compare_predictors(matrices, layer, options, counts=None):
    """The content of predictors.json without its meta: each predictor's mean within-source rank correlation with leakage.

    Over the common bystanders, as "baseline_predictors" in correlation.json, with the same numbers. To the statistics a predictor
    is what a layer is to them elsewhere: same resamples and relabellings for all, and p_max_t is corrected for testing all of
    them. layer: whose cosine is the headline. options: "permutations", "bootstraps". counts: {"found", "total"} [sources,
    personas, questions] or None.
    """
    matrices = leave_out_even(matrices, counts)
    sources, _, problem = matrices.usable_sources()
    if problem:
        return undefined(problem, *KEYS)
    names, rates = matrices.names(sources), matrices.common(matrices.leakage, sources)
    baselines, left_out = baseline_predictors(matrices, sources)
    index = matrices.layers.index(layer)
    predictors = {"cosine": matrices.common(matrices.cosines["cosine"][index], sources)}
    predictors |= {name: values[index] for name, values in baselines.items()}
    values = np.stack(list(predictors.values()))
    bootstrap = resample_predictors(matrices, sources, values, options["bootstraps"], counts)
    permutations = draw_permutations(generator_of("rivals"), rates.shape[1], options["permutations"])
    tests = permutation_test(rank_products(values, rates), permutations)
    rhos = np.einsum("lsm,sm->ls", standard_ranks(values), standard_ranks(rates))
    found = {
        name: {**describe_predictor(bootstrap, tests, rhos, row, names), "known_before_training": name not in AFTER_TRAINING}
        for row, name in enumerate(predictors)
    }
    return {
        "sources": names,
        "bystanders": rates.shape[1],
        "order": sorted(found, key=lambda name: -found[name]["mean_rho"]),
        "predictors": found,
        "left_out": left_out,
        "undefined": None,
    }


def resample_predictors(matrices, sources, values, samples, counts):
    """The Bootstrap of predictors, values [predictors, sources, bystanders], in the place of layers, over the common bystanders."""
    table = replace(
        matrices,
        sources=matrices.names(sources),
        personas=[matrices.personas[index] for index in matrices.bystanders],
        cosines={"cosine": values},
        rate=matrices.common(matrices.rate, sources),
        base=None if matrices.base is None else matrices.base[matrices.bystanders],
    )
    if counts is not None:
        counts = {key: each[np.ix_(sources, matrices.bystanders)] for key, each in counts.items()}
    return draw_bootstrap(table, list(range(len(sources))), samples, derive_seed("statistics", "bootstrap"), counts)


def describe_predictor(bootstrap, tests, rhos, index, names):
    """One predictor: per source and on average, with intervals, permutation p and the difference from the cosine, which comes first."""
    mean = describe_mean(bootstrap, index, rhos[index])
    gap = describe_difference(bootstrap, index, 0, rhos[index], rhos[0])
    return {
        **{key: mean[key] for key in ("mean_rho", "interval", "interval_covers")},
        **{key: tests[index][key] if tests else None for key in ("p", "p_max_t")},
        "less_cosine": gap["difference"],
        "less_cosine_interval": gap["interval"],
        "per_source": {
            name: {"rho": float(rhos[index, row]), "interval": describe_source(bootstrap, index, row, rhos[index, row])}
            for row, name in enumerate(names)
        },
    }
