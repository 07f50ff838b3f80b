"""Which predictor ranks the bystanders best? All are compared on the same pairs and the same resamples."""

import numpy as np

from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.infrastructure.undefined import undefined
from persona_leakage.statistics.core.bootstrap import Bootstrap, describe_difference, describe_mean, describe_source
from persona_leakage.statistics.core.pair_matrices import PairMatrices
from persona_leakage.statistics.core.permutation import draw_permutations, permutation_test, rank_products
from persona_leakage.statistics.core.ranks import standard_ranks
from persona_leakage.statistics.leakage.known_predictors import AFTER_TRAINING, baseline_predictors

KEYS = ("sources", "bystanders", "order", "predictors", "left_out")


def compare_predictors(matrices, layer, options, counts=None):
    """The content of predictors.json without its meta: each predictor's mean within-source rank correlation with leakage.

    Over the common bystanders, as "baseline_predictors" in correlation.json, with the same numbers. To the statistics a predictor
    is what a layer is to them elsewhere: same resamples and relabellings for all, and p_max_t is corrected for testing all of
    them. layer: whose cosine is the headline. options: "permutations", "bootstraps". counts: {"found", "total"} [sources,
    personas, questions] or None.
    """
    sources, _, problem = matrices.usable_sources()
    if problem:
        return undefined(problem, *KEYS)
    predictors, left_out = predictors_of(matrices, sources, layer)
    chosen = np.ix_(sources, matrices.bystanders)
    names, rates = [matrices.sources[index] for index in sources], matrices.leakage[chosen]
    table = predictor_matrices(matrices, chosen, names, predictors)
    if counts is not None:
        counts = {key: values[chosen] for key, values in counts.items()}
    bootstrap = Bootstrap(table, list(range(len(names))), options["bootstraps"], derive_seed("statistics", "bootstrap"), counts)
    generator = np.random.default_rng(derive_seed("statistics", "rivals"))
    permutations = draw_permutations(generator, rates.shape[1], options["permutations"])
    tests = permutation_test(rank_products(table.cosines["cosine"], rates), permutations)
    rhos = np.einsum("lsm,sm->ls", standard_ranks(table.cosines["cosine"]), standard_ranks(rates))
    found = {name: describe_predictor(bootstrap, tests, rhos, index, names) for index, name in enumerate(predictors)}
    for name, block in found.items():
        block["known_before_training"] = name not in AFTER_TRAINING
    return {
        "sources": names,
        "bystanders": rates.shape[1],
        "order": sorted(found, key=lambda name: -found[name]["mean_rho"]),
        "predictors": found,
        "left_out": left_out,
        "undefined": None,
    }


def predictors_of(matrices, sources, layer):
    """({name: [sources, bystanders]}, the cosine first; {name: why it is left out}) at one layer."""
    baselines, left_out = baseline_predictors(matrices, sources)
    index, chosen = matrices.layers.index(layer), np.ix_(sources, matrices.bystanders)
    return {"cosine": matrices.cosines["cosine"][index][chosen], **{name: values[index] for name, values in baselines.items()}}, left_out


def predictor_matrices(matrices, chosen, names, predictors):
    """A PairMatrices of the common bystanders in which the predictors stand where the layers stood."""
    return PairMatrices(
        layers=list(predictors),
        sources=names,
        personas=[matrices.personas[index] for index in matrices.bystanders],
        categories=matrices.categories[matrices.bystanders],
        cosines={"cosine": np.stack(list(predictors.values()))},
        rate=matrices.rate[chosen],
        found=matrices.found[chosen],
        total=matrices.total[chosen],
        related=matrices.related[chosen],
        prompt_tokens=None,
        missing={},
        base=None if matrices.base is None else matrices.base[matrices.bystanders],
    )


def describe_predictor(bootstrap, tests, rhos, index, names):
    """One predictor: per source and on average, with intervals and permutation p, and less the cosine, which stands first."""
    mean = describe_mean(bootstrap, index, rhos[index])
    gap = {"difference": None, "interval": None}
    if index:
        gap = describe_difference(bootstrap, index, 0, rhos[index], rhos[0])
    return {
        "mean_rho": mean["mean_rho"],
        "interval": mean["interval"],
        "interval_covers": mean["interval_covers"],
        "p": tests[index]["p"] if tests else None,
        "p_max_t": tests[index]["p_max_t"] if tests else None,
        "less_cosine": gap["difference"],
        "less_cosine_interval": gap["interval"],
        "per_source": {
            name: {"rho": float(rhos[index, row]), "interval": describe_source(bootstrap, index, row, rhos[index, row])}
            for row, name in enumerate(names)
        },
    }
