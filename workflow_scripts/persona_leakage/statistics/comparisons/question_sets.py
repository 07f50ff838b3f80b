"""Does closeness predict leakage on other kinds of questions? Each set's correlation, and its drop relative to the first set."""

from dataclasses import replace

import numpy as np

from persona_leakage.infrastructure.intervals import plain_interval
from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.infrastructure.undefined import undefined
from persona_leakage.statistics.core.bootstrap import describe_mean, describe_source, draw_bootstrap, variance
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.core.ranks import rank_correlation
from persona_leakage.statistics.leakage.even_spread import leave_out_even

DROP_KEYS = ("drop", "interval", "interval_bystanders", "interval_covers")


def compare_question_sets(tables, counts, bootstraps):
    """{"first", "sources", "sources_left_out", "undefined", "sets", "drops"} from the pairs of one layer for each question set.

    tables: {set: DataFrame of pairs}, of which the first is the in-distribution set; counts: {set: {"found", "total"}
    [sources, personas, questions] on the axes of matrices_of, or None}. A source is included if it is usable in every set.
    """
    matrices = {name: leave_out_even(matrices_of(table), counts[name]) for name, table in tables.items()}
    first, *others = matrices
    found = {name: each.usable_sources() for name, each in matrices.items()}
    sources = [index for index in range(len(matrices[first].sources)) if all(index in indices for indices, _, _ in found.values())]
    problems = [f"{name}: {problem}" for name, (_, _, problem) in found.items() if problem]
    problem = "; ".join(problems) or (None if sources else "no source can be used in every set")
    result = {
        "first": first,
        "sources": [] if problem else matrices[first].names(sources),
        "sources_left_out": {name: reasons for name, (_, reasons, _) in found.items()},
        "undefined": problem,
        "sets": {},
        "drops": {},
    }
    for name, each in matrices.items():  # how much there is to predict
        questions = None if counts[name] is None else counts[name]["found"].shape[-1]
        result["sets"][name] = {"questions": questions, "mean_leakage": float(np.nanmean(each.rate)), "per_source": {}, "mean": None}
    if problem:
        return result
    resampled = {name: correlate_set(each, sources, bootstraps, counts[name]) for name, each in matrices.items()}
    for name, (bootstrap, rhos) in resampled.items():
        for row, (source, rho) in enumerate(zip(result["sources"], rhos, strict=True)):
            result["sets"][name]["per_source"][source] = {"rho": rho, "interval": describe_source(bootstrap, 0, row, rho)}
        result["sets"][name]["mean"] = describe_mean(bootstrap, 0, rhos)
    for name in others:
        moved = replace(matrices[name], cosines=matrices[first].cosines)
        result["drops"][name] = {
            "own_cosines": describe_drops(resampled[first], resampled[name], result["sources"]),
            "first_cosines": describe_drops(resampled[first], correlate_set(moved, sources, bootstraps, counts[name]), result["sources"]),
            "agreement_with_first": describe_agreement(matrices[first], matrices[name], sources),
        }
    return result


def correlate_set(matrices, sources, bootstraps, counts):
    """(Bootstrap, within-source correlations [sources]) at the first layer.

    Seed and number of personas are the same for every set, so all sets resample the same bystanders and are paired.
    """
    bootstrap = draw_bootstrap(matrices, sources, bootstraps, derive_seed("statistics", "question sets"), counts)
    cosines = matrices.cosines["cosine"][0]
    return bootstrap, [rank_correlation(cosines[index], matrices.leakage[index]) for index in sources]


def describe_drops(first, other, names):
    """{"per_source": {source: drop}, "mean": drop}: the first set's correlation minus the other's, with paired intervals."""
    (first, first_rhos), (other, other_rhos) = first, other
    drops = np.array(first_rhos) - np.array(other_rhos)
    per_source = {
        name: describe_drop(first, other, drops[row], lambda drawn, row=row: drawn[0, row], first.sizes[row])
        for row, name in enumerate(names)
    }
    mean = describe_drop(first, other, drops.mean(), lambda drawn: drawn[0].mean(axis=0), min(first.sizes))
    return {"per_source": per_source, "mean": {**mean, "rho": float(np.mean(other_rhos))}}


def describe_drop(first, other, drop, statistic, size):
    """A difference of ``statistic`` (of correlations [layers, sources, samples]) between two bootstraps of the same bystanders.

    The bystanders' part of the variance is that of the paired differences; the questions of the two sets are different
    ones, so their parts add up.
    """
    bystanders = variance(statistic(first.drawn["bystanders"]) - statistic(other.drawn["bystanders"]))
    known = "questions" in first.drawn and "questions" in other.drawn
    errors = [bootstrap.errors(statistic) for bootstrap in (first, other)]
    questions = sum(error["both"] ** 2 - error["bystanders"] ** 2 for error in errors)
    if not np.isfinite(bystanders + questions):
        return {**undefined("too many resamples have no correlation", *DROP_KEYS), "drop": float(drop)}
    return {
        "drop": float(drop),
        "interval": plain_interval(float(drop), (bystanders + questions) ** 0.5, size - 1),
        "interval_bystanders": plain_interval(float(drop), bystanders**0.5, size - 1),
        "interval_covers": "bystanders and questions" if known else "bystanders",
        "undefined": None,
    }


def describe_agreement(first, other, sources):
    """Mean rank correlation of the two sets' leakage, and of their cosines, over each source's bystanders."""
    pairs = {"leakage": (first.leakage, other.leakage), "cosine": (first.cosines["cosine"][0], other.cosines["cosine"][0])}
    return {name: float(np.mean([rank_correlation(x[index], y[index]) for index in sources])) for name, (x, y) in pairs.items()}
