"""The content of correlation.json from the tidy tables; each statistic has its own module."""

from persona_leakage.behaviours.training_check import check_table, unlearned_sources
from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.infrastructure.undefined import undefined
from persona_leakage.statistics.core.bootstrap import (
    DIFFERENCE_KEYS,
    MEAN_KEYS,
    describe_difference,
    describe_mean,
    describe_source,
    draw_resamples,
    resample,
)
from persona_leakage.statistics.core.multiple_testing import holm
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.core.permutation import (
    TEST_KEYS,
    centred_products,
    draw_permutations,
    generator_of,
    layer_of,
    permutation_test,
    rank_products,
)
from persona_leakage.statistics.leakage.base_confound import KEYS as BASE_KEYS
from persona_leakage.statistics.leakage.base_confound import describe_base_confound
from persona_leakage.statistics.leakage.baseline_predictors import PARTIAL_KEYS, PARTIALS, describe_baselines
from persona_leakage.statistics.leakage.claims import CLAIMS
from persona_leakage.statistics.leakage.conclusions import draw_conclusions
from persona_leakage.statistics.leakage.controls import describe_controls
from persona_leakage.statistics.leakage.correlations import KEYS as CORRELATION_KEYS
from persona_leakage.statistics.leakage.correlations import correlate_pairs, leakage_of
from persona_leakage.statistics.leakage.double_centred import KEYS as PAIR_KEYS
from persona_leakage.statistics.leakage.double_centred import describe_double_centred
from persona_leakage.statistics.leakage.even_spread import describe_spread, without_even_sources
from persona_leakage.statistics.leakage.held_out_prediction import LEAKS, SOURCE_KEYS, describe_prediction
from persona_leakage.statistics.leakage.leakage_rates import summarise_rates
from persona_leakage.statistics.leakage.meta_analysis import KEYS as META_KEYS
from persona_leakage.statistics.leakage.meta_analysis import combine_correlations
from persona_leakage.statistics.leakage.outcomes import (
    LOGPROB_GAIN,
    MEAN_SCORE,
    RATE,
    UNIT,
    describe_agreement,
    gain_counts,
    gain_table,
    judged_by_gain,
    why_no_gain,
)
from persona_leakage.statistics.leakage.permuted_sources import DRAW_KEYS, draw_permuted_sources, permuted_layer, permuted_source_tests
from persona_leakage.statistics.leakage.reliability import SPLITS, disattenuate, noise_ceilings
from persona_leakage.statistics.leakage.signed_change import describe_change
from persona_leakage.statistics.leakage.source_specificity import EFFECTIVE_KEYS, SPECIFICITY_KEYS, describe_specificity, effective_sources

WHY_NO_TEST = {
    "association": "the sources' ranks cancel out: all relabellings give the same",
    "association_within_categories": "no category with two bystanders that differ",
    "pair_specific": "fewer than 2 sources clear of the floor, or nothing is left after double centring",
    "pair_specific_within_categories": "fewer than 2 sources clear of the floor, or nothing is left after double centring",
    "source_identity": "one source among the sources alone, a permuted source without correlations, or all predict alike",
}
FAMILIES = (*WHY_NO_TEST, "beyond_baselines")


def analyse(table, headline_layer, options, counts=None, panel_cosines=None):
    """The content of correlation.json without its meta.

    table: of pairs (see tables/read.py). options: of a Statistics block. counts: as read_question_counts gives them, and panel_cosines:
    [layers, personas, personas], on the axes of matrices_of(table), or None (see tables/question_counts.py). The blocks at the top
    are of the rates, "outcomes" has those of the other outcome. Only where a bystander shows the behaviour without adapter:
    "even_spread" and "signed_change", and "base_confound" in each layer. Only with controls: "controls". Of a table of mean scores
    (tables/mean_scores.py) the same of the means; "leakage" stays of the rates.
    """
    check = check_table(table)
    matrices, began = matrices_of(table, check), {}
    if matrices.began_above_zero:
        began = {"even_spread": describe_spread(matrices, counts), "signed_change": describe_change(table)}
        matrices = without_even_sources(matrices, began["even_spread"])
    result = {
        "training_check": check,
        "outcome": MEAN_SCORE if matrices.sign else RATE,
        **describe_outcome(table, matrices, check, headline_layer, options, counts, panel_cosines),
        "leakage": summarise_rates(table),
        **began,
    }
    controls = describe_controls(table, headline_layer, {source: matrices.missing[source] for source in sorted(matrices.even)})
    result |= {"controls": controls} if controls else {}
    result["resampling"] = {
        "permutations": options["permutations"],
        "bootstraps": options["bootstraps"],
        "splits": SPLITS,
        "seed": "a hash of each purpose, the same for every table",
    }
    result["verdict"] = draw_conclusions(result)
    result["outcomes"] = {LOGPROB_GAIN: describe_gain(table, result, headline_layer, options, counts, panel_cosines)}
    return result


def describe_gain(table, by_rate, headline_layer, options, counts, panel_cosines):
    """The block of the second outcome, with its own verdict and its agreement with the rates; by_rate: the result of the rates."""
    problem, check = why_no_gain(table), by_rate["training_check"]
    if problem:
        return undefined(problem)
    gains = gain_table(table)
    matrices = matrices_of(gains, check, linear=True)
    block = describe_outcome(gains, matrices, check, headline_layer, options, gain_counts(counts), panel_cosines)
    headline, rates = (each["layers"][str(headline_layer)] for each in (block, by_rate))
    rows = table[table["layer"] == headline_layer]
    for layer in block["layers"].values():
        for each in layer["per_source"].values():
            del each["source_rate"], each["mean_bystander_rate"]
    return {
        "unit": UNIT,
        "agreement": describe_agreement(rows, rates["per_source"], headline["per_source"]),
        "judged_by_it_alone": judged_by_gain(by_rate["joint"], block["joint"], headline["per_source"]),
        **block,
        "verdict": draw_conclusions({"training_check": check, "outcome": LOGPROB_GAIN, **block}),
        "undefined": None,
    }


def describe_outcome(table, matrices, check, headline_layer, options, counts, panel_cosines):
    """The statistics of one outcome: all blocks of correlation.json but "training_check", "leakage", "resampling" and the verdict."""
    left_out = {*unlearned_sources(check), *matrices.even}
    if matrices.linear:  # the rows whose outcome is known, and all rows of a source of which none is
        known = leakage_of(table).notna()
        table = table[known | ~known.groupby(table["source"]).transform("any")]
    result = correlate_pairs(table, headline_layer, options["min_category_size"], left_out, matrices.problem)
    result["noise_ceiling"] = noise_ceilings(matrices, derive_seed("statistics", "halves"), counts)
    for layer in result["layers"].values():
        for source, block in layer["per_source"].items():
            if source in matrices.even:
                block |= undefined(matrices.missing[source], *CORRELATION_KEYS)
            block["spearman_interval"] = None
            block["disattenuated"] = disattenuate(block["spearman_rho"], result["noise_ceiling"][source])
    add_joint_statistics(result, matrices, options, counts, panel_cosines)
    result["holm"] = adjust_families(result["layers"][str(headline_layer)])
    return result


def add_joint_statistics(result, matrices, options, counts, panel_cosines):
    """Add the statistics over all sources to ``result`` and its layers, or why they are undefined."""
    sources, reasons, problem = matrices.usable_sources()
    names = matrices.names(sources)
    result["joint"] = {
        "sources": names,
        "sources_left_out": reasons,
        "bystanders": len(matrices.bystanders),
        "bystanders_left_out": matrices.left_out,
        "undefined": problem,
    }
    if problem:
        result["effective_sources"] = undefined(problem, *EFFECTIVE_KEYS)
        result["permuted_sources"] = undefined(problem, "kind")
        for layer in result["layers"].values():
            layer.update(empty_layer(problem))
            layer.update({"base_confound": undefined(problem, *BASE_KEYS)} if matrices.began_above_zero else {})
        return
    result["effective_sources"] = effective_sources(matrices, sources)
    draws = draw_resamples(matrices, sources, options["bootstraps"], derive_seed("statistics", "bootstrap"), counts)
    bootstrap = resample(matrices, sources, draws)
    headline = matrices.layers.index(result["headline_layer"])
    rhos = [[result["layers"][str(layer)]["per_source"][name]["spearman_rho"] for name in names] for layer in matrices.layers]
    tests = chance_tests(matrices, sources, options["permutations"], generator_of("permutations"))
    specificity, identity = describe_specificity(matrices, sources, panel_cosines, options["permutations"], generator_of("pseudo-sources"))
    tests["source_identity"] = identity
    baselines = describe_baselines(
        matrices, sources, draw_permutations(generator_of("rivals"), len(matrices.bystanders), options["permutations"])
    )
    clear = matrices.clear_sources(sources)
    double_centred, clear_centred = describe_double_centred(matrices, sources), describe_double_centred(matrices, clear)
    prediction = describe_prediction(matrices, sources)
    result["permuted_sources"], permuted = compare_with_permuted_sources(matrices, sources, clear, panel_cosines, options["permutations"])
    for index, layer in enumerate(matrices.layers):
        block = result["layers"][str(layer)]
        for row, name in enumerate(names):
            block["per_source"][name]["spearman_interval"] = describe_source(bootstrap, index, row, rhos[index][row])
        block["within_source"] = describe_mean(bootstrap, index, rhos[index])
        block["meta_analysis"] = combine_correlations(rhos[index], bootstrap.sizes)
        block["double_centred"] = {**double_centred[index], "clear_of_floor": clear_centred[index]}
        block["difference_from_headline"] = describe_difference(bootstrap, index, headline, rhos[index], rhos[headline])
        block["chance"] = {name: layer_of(test, index, WHY_NO_TEST[name]) for name, test in tests.items()}
        block["chance"]["permuted_sources"] = {
            name: permuted_layer(*test, index, "it is the same, or undefined, with all permuted sources") for name, test in permuted.items()
        }
        block["baseline_predictors"] = baselines[index]
        block["specificity"] = specificity[index]
        block["prediction"] = prediction[index]
    if matrices.began_above_zero:
        for layer, block in zip(matrices.layers, describe_base_confound(matrices, bootstrap, draws), strict=True):
            result["layers"][str(layer)]["base_confound"] = block


def empty_layer(problem):
    """The joint statistics of a layer, all undefined for the reason ``problem``."""
    return {
        "within_source": undefined(problem, *MEAN_KEYS),
        "meta_analysis": undefined(problem, *META_KEYS),
        "double_centred": {**undefined(problem, *PAIR_KEYS), "clear_of_floor": undefined(problem, *PAIR_KEYS)},
        "difference_from_headline": undefined(problem, *DIFFERENCE_KEYS),
        "chance": {
            **{name: undefined(problem, *TEST_KEYS) for name in WHY_NO_TEST},
            "permuted_sources": {name: undefined(problem, *TEST_KEYS, *DRAW_KEYS) for tests in CLAIMS.values() for name in tests},
        },
        "baseline_predictors": {
            **undefined(problem, "alone", "left_out"),
            **dict.fromkeys(PARTIALS, undefined(problem, *PARTIAL_KEYS)),
        },
        "specificity": undefined(problem, *SPECIFICITY_KEYS),
        "prediction": {
            "threshold": LEAKS,
            "leave_one_source_out": undefined(problem, *SOURCE_KEYS),
            "leave_one_persona_out": undefined(problem, "per_source"),
        },
    }


def chance_tests(matrices, sources, count, generator):
    """{name: the layers of permutation_test, or None}: all bystanders exchangeable, and only those of a category.

    The pair-specific tests take the sources clear of the floor alone.
    """
    clear, cosines = matrices.clear_sources(sources), matrices.cosines["cosine"]
    associated = rank_products(matrices.common(cosines, sources), matrices.common(matrices.leakage, sources))
    paired = centred_products(matrices.common(cosines, clear), matrices.common(matrices.logits(), clear))
    tests = {}
    for suffix, groups in (("", None), ("_within_categories", matrices.categories[matrices.bystanders])):
        permutations = draw_permutations(generator, len(matrices.bystanders), count, groups)
        for name, products in (("association", associated), ("pair_specific", paired)):
            tests[name + suffix] = permutation_test(products, permutations, groups)
    return tests


def compare_with_permuted_sources(matrices, sources, clear, panel_cosines, count):
    """({"kind", "undefined"}, {test: (its layers or None, the PermutedSources, why there are none)}) of permuted_sources.py."""
    chosen, problem = draw_permuted_sources(matrices, sources, panel_cosines, count, generator_of("stand-ins"))
    few = f"{len(clear)} source(s) clear of the floor; at least 2 needed" if len(clear) < 2 else None
    of_clear, reason = (None, few) if few else draw_permuted_sources(matrices, clear, panel_cosines, count, generator_of("clear stand-ins"))
    found = {}
    for name, test in permuted_source_tests(matrices, sources, chosen, clear, of_clear).items():
        found[name] = test, *((of_clear, reason) if name in CLAIMS["pair_specific"] else (chosen, problem))
    return {"kind": chosen.kind if chosen else None, "undefined": problem}, found


def adjust_families(layer):
    """{family: {"p", "p_holm"}} at one layer: the max-T p-values of the families, adjusted for their number (Holm 1979).

    The p of a claim is the larger one of relabelled bystanders and of permuted sources; None without either.
    """
    found = {name: layer["chance"][name]["p_max_t"] for name in WHY_NO_TEST}
    found["beyond_baselines"] = layer["baseline_predictors"]["partial_linear"]["p_max_t"]
    parts = {}
    for claim, tests in CLAIMS.items():
        permuted = [layer["chance"]["permuted_sources"][name]["p_max_t"] for name in tests]
        permuted_p = None if None in permuted else max(permuted)
        parts[claim] = {"p_relabelled": found[claim], "p_permuted_sources": permuted_p}
        found[claim] = None if None in parts[claim].values() else max(parts[claim].values())
    adjusted = holm(found)
    return {name: {"p": found[name], "p_holm": adjusted[name], **parts.get(name, {})} for name in FAMILIES}
