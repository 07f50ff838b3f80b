"""The statistics of many synthetic experiments: p-values of every test, estimates and intervals."""

from dataclasses import replace

import numpy as np
from scipy import stats

from persona_leakage.infrastructure.intervals import next_interval
from persona_leakage.statistics.core.bootstrap import describe_difference, describe_mean, describe_source, draw_bootstrap
from persona_leakage.statistics.core.permutation import centred_products, draw_permutations, permutation_test
from persona_leakage.statistics.leakage.baseline_predictors import describe_baselines
from persona_leakage.statistics.leakage.correlations import correlate
from persona_leakage.statistics.leakage.double_centred import describe_double_centred
from persona_leakage.statistics.leakage.source_specificity import describe_specificity
from persona_leakage.statistics.leakage.summary import chance_tests
from persona_leakage.statistics.validation.simulation import simulate

PERMUTATIONS, BOOTSTRAPS = 199, 200


def p_values(matrices, cosines, seed):
    """{test: p} of one experiment at its first layer; "best layer" is the smallest max-T p over the layers."""
    generator = np.random.default_rng(seed)
    sources, _, _ = matrices.usable_sources()
    cosines_of_pairs, y = (matrices.common(values, sources) for values in (matrices.cosines["cosine"], matrices.rate))
    x = cosines_of_pairs[0]
    first = correlate(x[0], y[0])
    found = {
        "raw pooled Spearman": float(stats.spearmanr(x.ravel(), y.ravel()).pvalue),
        "one source, Spearman": first["spearman_p"],
        "one source, Kendall": first["kendall_p"],
        "one source, Pearson": first["pearson_p"],
    }
    tests = chance_tests(matrices, sources, PERMUTATIONS, generator)
    for name, layers in tests.items():
        found[name] = layers[0]["p"]
        found[f"{name}, best layer"] = min(layer["p_max_t"] for layer in layers)
    identity = describe_specificity(matrices, sources, cosines, PERMUTATIONS, generator)[1]
    found["source_identity"] = identity[0]["p"]
    found["source_identity, best layer"] = min(layer["p_max_t"] for layer in identity)
    baselines = describe_baselines(matrices, sources, draw_permutations(generator, len(matrices.bystanders), PERMUTATIONS))[0]
    found["beyond_baselines"] = baselines["partial_linear"]["p"]
    found["beyond_baselines, one source"] = baselines["partial_linear"]["per_source"][matrices.sources[0]]["p"]
    found["partial of ranks"] = baselines["partial"]["p"]
    products = centred_products(cosines_of_pairs, matrices.common(matrices.logits(), sources))
    permutations = draw_permutations(generator, len(matrices.bystanders), PERMUTATIONS)
    found["pair_specific of all sources"] = permutation_test(products, permutations)[0]["p"]
    found["baseline predictor alone"] = baselines["alone"]["prompt_tokens"]["p"]
    return found


def estimates(matrices, counts, seed):
    """{statistic: (estimate, its interval)} of one experiment at its first layer."""
    sources = list(range(len(matrices.sources)))
    bootstrap = draw_bootstrap(matrices, sources, BOOTSTRAPS, seed, counts)
    rhos = [[correlate(*pairs_of(matrices, layer, source))["spearman_rho"] for source in sources] for layer in range(len(matrices.layers))]
    mean = describe_mean(bootstrap, 0, rhos[0])
    centred = describe_double_centred(matrices, sources)[0]
    difference = describe_difference(bootstrap, 1, 0, rhos[1], rhos[0])
    permutations = draw_permutations(np.random.default_rng(seed), len(matrices.bystanders), 9)
    baselines = describe_baselines(matrices, sources, permutations)[0]
    return {
        "one source": (rhos[0][0], describe_source(bootstrap, 0, 0, rhos[0][0])),
        "mean of these sources": (mean["mean_rho"], mean["interval"]),
        "mean of sources like these": (mean["mean_rho"], mean["interval_over_sources"]),
        "double-centred": (centred["r"], centred["interval"]),
        "difference of two layers": (difference["difference"], difference["interval"]),
        "the next source": (rhos[0][-1], next_interval(rhos[0][:-1])),
        "partial of ranks": (baselines["partial"]["mean_rho"], baselines["partial"]["interval"]),
        "partial_linear": (baselines["partial_linear"]["mean_rho"], baselines["partial_linear"]["interval"]),
    }


def pairs_of(matrices, layer, source):
    """Cosine and leakage of one source's pairs."""
    members = ~np.isnan(matrices.rate[source])
    return matrices.cosines["cosine"][layer, source, members], matrices.rate[source, members]


def collect_p_values(world, tables, seed):
    """{test: p [tables]} over synthetic experiments."""
    rows = []
    for number in range(tables):
        matrices, _, cosines = simulate(world, np.random.default_rng([seed, number]))
        rows.append(p_values(matrices, cosines, [seed, number, 1]))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def coverage(world, tables, seed):
    """{statistic: share of synthetic experiments whose interval holds the truth}.

    The truth is the mean of the estimates over all experiments: what the design measures on average, its noise
    included. For "the next source" it is the estimate of the last source, which the interval was made without.
    """
    rows = []
    for number in range(tables):
        matrices, counts, _ = simulate(world, np.random.default_rng([seed, number]))
        rows.append(estimates(matrices, counts, [seed, number, 1]))
    shares = {}
    for name in rows[0]:
        values = np.array([row[name][0] for row in rows])
        truth = values if name == "the next source" else values.mean()
        low, high = np.array([row[name][1] for row in rows]).T
        shares[name] = float(np.mean((low <= truth) & (truth <= high)))
    return shares


def attenuation(world, tables, seed):
    """{statistic: (mean as measured, mean if leakage were known exactly)}: what noise takes from the correlations."""
    exact = replace(world, replies=10**6, question_sd=0.0)
    found = {}
    for each in (world, exact):
        rows = []
        for number in range(tables):
            matrices, _, _ = simulate(each, np.random.default_rng([seed, number]))
            sources = list(range(len(matrices.sources)))
            rhos = [correlate(*pairs_of(matrices, 0, source))["spearman_rho"] for source in sources]
            rows.append((np.mean(rhos), describe_double_centred(matrices, sources)[0]["r"]))
        for name, value in zip(("mean_rho", "double-centred r"), np.mean(rows, axis=0), strict=True):
            found.setdefault(name, []).append(float(value))
    return found
