"""Would another training seed give the same leakage? Variation between training seeds, and how much of it is sampling noise."""

from itertools import combinations

import numpy as np

from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.infrastructure.undefined import undefined
from persona_leakage.statistics.comparisons.variance_components import AGREEMENT_KEYS, intraclass, two_way_parts
from persona_leakage.statistics.core.pair_matrices import MIN_BYSTANDERS, MIN_DIFFERENT, count_different
from persona_leakage.statistics.core.ranks import standard_ranks
from persona_leakage.statistics.leakage.reliability import half_rates_by_sample

PROFILE_KEYS = ("pairs", "mean_rho", "mean_ceiling", "ratio")
SPREAD_KEYS = ("bystanders", "level", "profile", "profile_and_sampling", "sampling", "agreement_if_only_sampling")
MEAN = "mean of the sources"


def sampling_errors(matrices, counts, layer, sources):
    """{source, MEAN: standard deviation of Spearman's rho at a layer from sampling the replies alone}; None where it cannot be told.

    counts: {"found", "total"} [sources, personas, questions]. Two halves of the replies to the same questions are
    independent measurements of the same adapter, so the mean square of the difference of their correlations, scaled
    from halves to all replies, is the sampling variance. sources: those of which MEAN is the mean.
    """
    generator = np.random.default_rng(derive_seed("statistics", "sampling of seeds"))
    differences, errors, index = {}, {}, matrices.layers.index(layer)
    for row, name in enumerate(matrices.sources):
        members = np.flatnonzero(~np.isnan(matrices.rate[row]) & ~np.isnan(matrices.cosines["cosine"][index, row]))
        found, total = (counts[key][row, members].astype(int) for key in ("found", "total"))
        errors[name] = None
        if matrices.linear or not total.size or (total < 2).any():
            continue
        halves = [standard_ranks(half) for half in half_rates_by_sample(found, total, generator)]
        gaps = (halves[0] - halves[1]) @ standard_ranks(matrices.cosines["cosine"][index, row, members])
        first = (total // 2).sum()
        scale = total.sum() / first + total.sum() / (total.sum() - first)
        if not np.isnan(gaps).any():
            differences[name] = gaps / scale**0.5
            errors[name] = float(np.sqrt((differences[name] ** 2).mean()))
    known = sources and all(name in differences for name in sources)
    mean = np.mean([differences[name] for name in sources], axis=0) if known else None
    return {**errors, MEAN: float(np.sqrt((mean**2).mean())) if known else None}


def sampling_variance(found, total):
    """Variance of a rate from sampling alone, without bias: found, total [..., questions] -> [...]; NaN if a question has one reply."""
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = found / total
        return ((total / total.sum(axis=-1, keepdims=True)) ** 2 * shares * (1 - shares) / (total - 1)).sum(axis=-1)


def describe_stability(correlations, tables):
    """{source: leakage of its bystanders in several trainings compared}.

    correlations: contents of correlation.json, one for each training. tables: for each the (PairMatrices, counts) it was made from.
    """
    result = {}
    for source in correlations[0]["leakage"]:
        cells = [run["leakage"][source]["cells"] for run in correlations]
        names = sorted(set.intersection(*map(set, cells)))
        outcome = "outcome" if any("outcome" in each for cell in cells for each in cell.values()) else "rate"
        rates = np.array([[cell[name][outcome] for cell in cells] for name in names]).reshape(len(names), len(cells))
        problem = why_not_compared(rates, [run["even_spread"][source]["even"] for run in correlations if "even_spread" in run])
        ceilings = [run["noise_ceiling"][source]["samples"]["ceiling"] for run in correlations]
        result[source] = {
            "bystanders": len(names),
            "mean_rates": rates.mean(axis=0).tolist() if len(names) else [],
            "profiles": undefined(problem, *PROFILE_KEYS) if problem else compare_profiles(rates, ceilings),
            "intraclass": undefined(problem, *AGREEMENT_KEYS) if problem else intraclass(rates),
            "spread": undefined(problem, *SPREAD_KEYS) if problem else describe_spread(rates, source, names, tables),
        }
    return result


def why_not_compared(rates, even=()):
    """Why rates [bystanders, runs] say nothing about stability, or None. even: whether the source spreads evenly in each run."""
    if any(even):
        return f"the behaviour spreads evenly in {sum(map(bool, even))} of {len(even)} runs"
    if rates.shape[1] < 2:
        return "one training seed; at least 2 needed"
    if len(rates) < MIN_BYSTANDERS:
        return f"{len(rates)} bystander(s) measured in all runs; at least {MIN_BYSTANDERS} needed"
    different = min(count_different(column) for column in rates.T)
    if different < MIN_DIFFERENT:
        return f"{different} bystander(s) differ in leakage from the rest in some run; at least {MIN_DIFFERENT} needed"
    return None


def compare_profiles(rates, ceilings):
    """Rank correlation of the leakage of two runs over the bystanders, for each pair of runs: rates [bystanders, runs].

    ceiling: what that correlation would be if the two adapters leaked alike and only sampling differed: the root of
    the product of both reliabilities (Spearman 1904). ratio: mean of the one over mean of the other; can exceed 1 by chance.
    """
    ranks = standard_ranks(rates.T)
    pairs = []
    for first, second in combinations(range(len(ranks)), 2):
        known = None not in (ceilings[first], ceilings[second])
        ceiling = ceilings[first] * ceilings[second] if known else None
        pairs.append({"runs": [first, second], "rho": float(ranks[first] @ ranks[second]), "ceiling": ceiling})
    rho, highest = float(np.mean([pair["rho"] for pair in pairs])), [pair["ceiling"] for pair in pairs]
    mean = float(np.mean(highest)) if None not in highest else None
    return {"pairs": pairs, "mean_rho": rho, "mean_ceiling": mean, "ratio": rho / mean if mean else None, "undefined": None}


def describe_spread(rates, source, names, tables):
    """Standard deviations behind rates [bystanders, runs]: between bystanders, of the level of a run, of the profile, of sampling.

    profile: of one bystander from one training to the next, once sampling is taken out; with one reply per question
    only the sum of the two is known. agreement_if_only_sampling: the intraclass correlation of adapters that leak alike.
    """
    parts = two_way_parts(rates)
    found = {"bystanders": parts["things"] ** 0.5, "level": parts["level"] ** 0.5, "profile_and_sampling": parts["rest"] ** 0.5}
    sampling = mean_sampling_variance(source, names, tables)
    if sampling is None:
        missing = {"profile": None, "sampling": None, "agreement_if_only_sampling": None}
        return {**found, **missing, "undefined": "one reply per question, or mean scores: sampling not separable"}
    whole = parts["things"] + sampling
    return {
        **found,
        "profile": max(0.0, parts["rest"] - sampling) ** 0.5,
        "sampling": sampling**0.5,
        "agreement_if_only_sampling": parts["things"] / whole if whole else None,
        "undefined": None,
    }


def mean_sampling_variance(source, names, tables):
    """Mean over runs and bystanders of sampling_variance; None if unknown, and for mean scores, which have one number per question."""
    if any(matrices.linear for matrices, _ in tables):
        return None
    values = []
    for matrices, counts in tables:
        row, columns = matrices.sources.index(source), [matrices.personas.index(name) for name in names]
        values.append(sampling_variance(counts["found"][row, columns], counts["total"][row, columns]))
    mean = float(np.mean(values))
    return mean if np.isfinite(mean) else None


KEYS = ("training", "sampling", "training_and_sampling")


def compare_seeds(runs, tables):
    """Parts of the spread of Spearman's rho at the headline layer, per source and of the mean; and how stable leakage is.

    runs: contents of correlation.json of one experiment, a training seed each; tables: the (PairMatrices, counts per question) behind each.
    """
    errors = [sampling_errors(*table, run["headline_layer"], run["joint"]["sources"]) for run, table in zip(runs, tables, strict=True)]
    values = {}
    for run in runs:
        layer = run["layers"][str(run["headline_layer"])]
        whole = run["joint"]["sources"] == list(layer["per_source"])
        rhos = {name: block["spearman_rho"] for name, block in layer["per_source"].items()}
        for name, rho in {**rhos, MEAN: layer["within_source"]["mean_rho"] if whole else None}.items():
            values.setdefault(name, []).append(rho)
    seeds = [{key: run["meta"][key] for key in ("training_seed", "sampling_seed")} for run in runs]
    return {
        "runs": seeds,
        "headline_layer": runs[0]["headline_layer"],
        "spearman_rho": {name: describe_values(found, [known.get(name) for known in errors]) for name, found in values.items()},
        "leakage": {"training_seeds": [each["training_seed"] for each in seeds], "per_source": describe_stability(runs, tables)},
    }


def describe_values(values, errors):
    """Values, mean, range and parts of a correlation [runs]; the parts are undefined if a value is None.

    training_and_sampling: standard deviation between the runs; sampling: from ``errors``, that of each value from the replies alone, None
    where unknown; training: what is left, 0 if nothing is.
    """
    if None in values:
        nothing = dict.fromkeys(("mean", "lowest", "highest", "sampling_from"))
        return {"values": values, **nothing, **undefined("a run lacks a correlation", *KEYS)}
    parts = {"sampling_from": None, **undefined("one run; at least 2 training seeds needed", *KEYS)}
    if len(values) > 1:
        parts["training_and_sampling"] = both = float(np.var(values, ddof=1) ** 0.5)
        parts["undefined"] = "sampling is not known from the replies: parts not separable"
        if None not in errors:
            sampling = float(np.mean(np.square(errors)))
            training = max(0.0, both**2 - sampling)
            parts |= {"training": training**0.5, "sampling": sampling**0.5, "sampling_from": "replies", "undefined": None}
    return {"values": values, "mean": float(np.mean(values)), "lowest": min(values), "highest": max(values), **parts}
