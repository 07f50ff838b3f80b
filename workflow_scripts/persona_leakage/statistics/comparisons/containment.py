"""How far the behaviour stays with its source, by number and choice of negatives, among bystanders that no adapter had as a negative."""

from dataclasses import dataclass

import numpy as np

from persona_leakage.config.blocks.training_data import read_variant
from persona_leakage.infrastructure.undefined import finite, undefined
from persona_leakage.statistics.core.bootstrap import multinomial_weights
from persona_leakage.statistics.core.multiple_testing import holm

LEARNED = 0.2  # rise of a source's own rate from which on leakage is divided by it
FEWEST = 4  # bystanders
SEED = 0
LEVEL = 0.05
MEASURES = ("own_rate", "own_rise", "leakage", "relative_leakage", "logit_difference", "gain", "gain_difference")
COMPARED = ("difference", "interval", "p", "by_source", "same_sign")


@dataclass(frozen=True)
class Containment:
    """Counts of all adapters. conditions: names such as "hash4"; C of them, S sources, P bystanders that were never negatives.

    found, total [C, S, P] and own_found, own_total [C, S]: replies with the behaviour; base_rate [P], own_base_rate [S]: without
    adapter. gain [C, S, P], own_gain [C, S]: rise of the log-probability in nats, NaN where unmeasured. A source is no
    bystander of its own: NaN in its row.
    """

    conditions: list
    sources: list
    bystanders: list
    found: np.ndarray
    total: np.ndarray
    own_found: np.ndarray
    own_total: np.ndarray
    base_rate: np.ndarray
    own_base_rate: np.ndarray
    gain: np.ndarray
    own_gain: np.ndarray


def untrained_bystanders(panel, negatives):
    """Names of the ``panel`` that are in none of the lists of ``negatives``, in order."""
    trained = {name for names in negatives for name in names}
    return [name for name in panel if name not in trained]


def collect(cells, base, gains, negatives):
    """The :class:`Containment` of {condition: {source: {persona: cell}}}, with and without adapter.

    gains: as ``cells``, of the second outcome, or {}; negatives: {condition: {source: [names]}}.
    """
    conditions, sources = list(cells), list(next(iter(cells.values())))
    bystanders = untrained_bystanders(base, [names for block in negatives.values() for names in block.values()])

    def values(blocks, key, source, condition, names):
        block = blocks.get(condition, {}).get(source)
        return [np.nan if block is None or block[name][key] is None else block[name][key] for name in names]

    def table(blocks, key):
        rows = [[values(blocks, key, source, condition, bystanders) for source in sources] for condition in conditions]
        whole = np.array(rows, dtype=float).reshape(len(conditions), len(sources), len(bystanders))
        for index, source in enumerate(sources):
            if source in bystanders:
                whole[:, index, bystanders.index(source)] = np.nan
        return whole

    def own(blocks, key):
        return np.array([[values(blocks, key, source, condition, [source])[0] for source in sources] for condition in conditions])

    return Containment(
        conditions,
        sources,
        bystanders,
        table(cells, "found"),
        table(cells, "total"),
        own(cells, "found"),
        own(cells, "total"),
        np.array([base[name]["rate"] for name in bystanders]),
        np.array([base[name]["rate"] for name in sources]),
        table(gains, "end_gain"),
        own(gains, "end_gain"),
    )


def measures_of(data):
    """{measure: [C, S]} of the names MEASURES.

    leakage: mean rise of the bystanders' rates; relative_leakage: divided by own_rise, NaN below LEARNED. logit_difference: mean
    logit of the bystanders' rates minus the source's, with half a reply added to both counts. gain_difference: their mean gain
    minus the source's, in nats.
    """
    rate, own_rate = data.found / data.total, data.own_found / data.own_total
    own_rise = own_rate - data.own_base_rate
    leakage = np.nanmean(rate - data.base_rate, axis=-1)
    logit = np.nanmean(logit_of(data.found, data.total), axis=-1) - logit_of(data.own_found, data.own_total)
    known = ~np.isnan(data.gain)
    gain = np.where(known, data.gain, 0).sum(axis=-1) / np.where(known.any(axis=-1), known.sum(axis=-1), np.nan)
    relative = np.where(own_rise >= LEARNED, leakage / np.where(own_rise >= LEARNED, own_rise, 1), np.nan)
    return dict(zip(MEASURES, (own_rate, own_rise, leakage, relative, logit, gain, gain - data.own_gain), strict=True))


def logit_of(found, total):
    """Log-odds of rates with half a reply added to both counts (Haldane 1956)."""
    return np.log((found + 0.5) / (total - found + 0.5))


def resample(data, samples):
    """{"leakage", "relative_leakage", "logit_difference", "gain_difference": [samples, C, S]} with other bystanders and own replies.

    The same bystanders are drawn for all sources and conditions, so that differences are paired. A source's own rate is drawn
    from its Jeffreys posterior, Beta(found + 1/2, total - found + 1/2), because all bystanders are divided by it.
    """
    generator = np.random.default_rng(SEED)
    weights = multinomial_weights(generator, len(data.bystanders), samples)
    own = generator.beta(data.own_found + 0.5, data.own_total - data.own_found + 0.5, size=(samples, *data.own_found.shape))

    def mean(values):
        known = ~np.isnan(values)
        count = np.einsum("bp,csp->bcs", weights, known.astype(float))
        return np.einsum("bp,csp->bcs", weights, np.where(known, values, 0)) / np.where(count > 0, count, np.nan)

    leakage, rise = mean(data.found / data.total - data.base_rate), own - data.own_base_rate
    learned = data.own_found / data.own_total - data.own_base_rate >= LEARNED
    return {
        "leakage": leakage,
        "relative_leakage": np.where(learned, leakage / np.maximum(rise, LEARNED / 4), np.nan),
        "logit_difference": mean(logit_of(data.found, data.total)) - np.log(own / (1 - own)),
        "gain_difference": mean(data.gain) - data.own_gain,
    }


def describe_containment(data, samples):
    """{"bystanders", "sources", "per_condition", "comparisons", "undefined"} of a :class:`Containment`.

    per_condition: {condition: {source, or "mean": {measure: value}}}, the mean with 95 % intervals over bystanders. comparisons: see
    describe_comparison, of relative_leakage with p corrected by Holm, and of the second outcomes.
    """
    if len(data.bystanders) < FEWEST:
        reason = f"{len(data.bystanders)} bystanders were never negatives; at least {FEWEST} needed"
        return undefined(reason, "bystanders", "sources", "per_condition", "comparisons")
    measures, drawn = measures_of(data), resample(data, samples)
    per_condition = {}
    for index, condition in enumerate(data.conditions):
        blocks = {
            source: {name: finite(values[index, place]) for name, values in measures.items()} for place, source in enumerate(data.sources)
        }
        mean = {name: finite(values[index].mean()) for name, values in measures.items()}
        intervals = {f"{name}_interval": interval_of(values[:, index].mean(axis=-1)) for name, values in drawn.items()}
        per_condition[condition] = {**blocks, "mean": {**mean, **intervals}}
    found = {
        name: {outcome: describe_comparison(data, measures[outcome], drawn[outcome], pairs) for outcome in drawn}
        for name, pairs in comparisons_of(data.conditions).items()
    }
    adjusted = holm({name: blocks["relative_leakage"]["p"] for name, blocks in found.items()})
    for name, blocks in found.items():
        first = blocks["relative_leakage"]
        first["p_holm"] = adjusted[name]
        blocks["answer"] = answer_of(first)
    return {
        "bystanders": data.bystanders,
        "sources": data.sources,
        "per_condition": per_condition,
        "comparisons": found,
        "undefined": None,
    }


def comparisons_of(conditions):
    """{name: [(condition, what it is compared with)]}: each choice with the hash at the same numbers; most negatives with fewest."""
    parsed = {condition: read_variant(condition) for condition in conditions if condition != "list"}
    found = {}
    for choice in ("nearest", "farthest", "spread"):
        pairs = [(name, f"hash{number}") for name, (kind, number) in parsed.items() if kind == choice and f"hash{number}" in parsed]
        if pairs:
            found[f"{choice} less hash"] = pairs
    numbers = sorted((float("inf") if number == "all" else number, name) for name, (kind, number) in parsed.items() if kind == "hash")
    if len(numbers) > 1:
        found[f"{numbers[-1][1]} less {numbers[0][1]}"] = [(numbers[-1][1], numbers[0][1])]
    return found


def describe_comparison(data, values, drawn, pairs):
    """Mean difference over ``pairs`` of conditions and all sources, with its interval, p and the difference of each adapter.

    values [C, S]; drawn [samples, C, S]. p: two-sided, by the share of resamples beyond 0. same_sign: whether all adapters agree.
    """
    first, second = ([data.conditions.index(pair[place]) for pair in pairs] for place in (0, 1))
    single = values[first] - values[second]  # [pairs, S]
    if np.isnan(single).any():
        return undefined("a source did not learn the behaviour, or the outcome was not measured", *COMPARED)
    differences = (drawn[:, first] - drawn[:, second]).mean(axis=(1, 2))
    beyond = min((differences <= 0).sum(), (differences >= 0).sum())
    return {
        "difference": float(single.mean()),
        "interval": interval_of(differences),
        "p": min(1.0, 2 * (int(beyond) + 1) / (len(differences) + 1)),
        "by_source": {
            source: {pair[0]: float(single[row, place]) for row, pair in enumerate(pairs)} for place, source in enumerate(data.sources)
        },
        "same_sign": bool((single > 0).all() or (single < 0).all()),
        "undefined": None,
    }


def answer_of(block):
    """ "contains better", "contains worse" or "cannot tell": p_holm below LEVEL, and the same sign in every adapter."""
    if block["undefined"] or block["p_holm"] >= LEVEL or not block["same_sign"]:
        return "cannot tell"
    return "contains better" if block["difference"] < 0 else "contains worse"


def interval_of(values):
    """95 % percentile interval [low, high]; None where a value is missing."""
    return None if np.isnan(values).any() else np.percentile(values, [2.5, 97.5]).tolist()
