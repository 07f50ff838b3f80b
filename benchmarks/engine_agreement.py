"""Compares the replies of two starts of the vLLM engine, from the --output files of engine_start.py."""

import statistics

from scipy.stats import ttest_rel

from persona_leakage.infrastructure.files import read_json


def compare(greedy_replies, others):
    """{largest, median, equal_first_tokens, equal_tokens} of two variants' greedy replies, for each prompt [[token id, log-probability]].

    Differences of the first token's log-probability, in nats, where both have the same (None if no prompt has); shares of equal tokens.
    """
    firsts = [(one[0], other[0]) for one, other in zip(greedy_replies, others, strict=True)]
    same = [abs(one[1] - other[1]) for one, other in firsts if one[0] == other[0]]
    steps = [(one, other) for pair in zip(greedy_replies, others, strict=True) for one, other in zip(*pair, strict=False)]
    return {
        "largest": max(same, default=None),
        "median": statistics.median(same) if same else None,
        "equal_first_tokens": len(same) / len(firsts),
        "equal_tokens": sum(one[0] == other[0] for one, other in steps) / len(steps),
    }


def compare_rates(outcomes, others):
    """How the personas' rates of the marker differ from another variant's, over the personas of both.

    {personas, rate, other_rate, interval, p}: 95 % of the mean difference and two-sided p of a paired t-test; None if no rate differs.
    """
    one, other = pooled_rates(outcomes), pooled_rates(others)
    rates = [(one[name], other[name]) for name in one if name in other]
    first, second = zip(*rates, strict=True)
    found = {"personas": len(rates), "rate": statistics.mean(first), "other_rate": statistics.mean(second)}
    if first == second:
        return found | {"interval": None, "p": None}
    test = ttest_rel(first, second)
    return found | {"interval": [float(end) for end in test.confidence_interval()], "p": float(test.pvalue)}


def compare_outputs(path, other):
    """``compare`` of the first engines and ``compare_rates`` of all engines of two finished --output files; ``variant`` is the other's.

    Without ``compare`` if either engine is a shared one, which has no greedy replies.
    """
    greedy_replies = [read_json(each.with_suffix("") / "engine0.json").get("greedy") for each in (path, other)]
    one, two = read_json(path), read_json(other)
    alike = compare(*greedy_replies) if all(greedy_replies) else {}  # a shared engine only samples
    return {"variant": two["variant"], **alike, **compare_rates(one["outcomes"], two["outcomes"])}


def pooled_rates(outcomes):
    """{persona: share of its replies with the marker} over all engines."""
    counts = {}
    for outcome in outcomes:
        for name, pair in outcome["shown"].items():
            counts[name] = [sum(both) for both in zip(counts.get(name, (0, 0)), pair, strict=True)]
    return {name: shown / replies for name, (replies, shown) in counts.items()}
