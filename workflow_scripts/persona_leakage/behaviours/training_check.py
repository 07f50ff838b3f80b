"""Did training work? Whether each adapter taught its source the behaviour, judged from the source's own replies."""

from persona_leakage.infrastructure.intervals import plain_interval, wilson_interval
from persona_leakage.infrastructure.undefined import finite

FLOOR = 0.1  # own rate
RATE_TOLERANCE = 0.005  # a rate in somebody's table may be rounded
CUT_MATTERS = 0.1  # share of cut replies from which max_new_tokens is worth a look
NONE_LEARNED = "no adapter learned the behaviour"
ADVICE = "Raise training.epochs or training.learning_rate."
CUT_ADVICE = "Check evaluation.sampling.max_new_tokens: {cut} of its replies were cut."


def check_source(source, rate, total=None, base_rate=None):
    """Judge one source: {"learned", "rate", "found", "total", "interval", "base_rate", "why"}.

    It learned if its own rate is at least FLOOR and the lower end of the rate's Wilson interval is above ``base_rate``, the rate of
    the same persona without adapter (None, unknown: 0). Without ``total`` replies there is no interval and the rate itself is
    compared. learned and rate are None where the rate is unknown. why: the answer as a sentence. Rates in [0, 1].
    """
    numbers = {"rate": rate, "found": None, "total": None, "interval": None, "base_rate": base_rate}
    if rate is None:
        why = f"Whether the adapter of {source} learned the behaviour is unknown: the table has no source_rate."
        return {"learned": None, **numbers, "why": why}
    if total and abs(round(rate * total) / total - rate) <= RATE_TOLERANCE:
        found = round(rate * total)
        numbers |= {"found": found, "total": total, "interval": wilson_interval(found, total)}
    lowest = numbers["interval"][0] if numbers["interval"] else rate
    learned = bool(rate >= FLOOR and lowest > (base_rate or 0.0))
    why = f"The adapter of {source} {'learned' if learned else 'did not learn'} the behaviour: {describe_rate(numbers)}."
    return {"learned": learned, **numbers, "why": why}


def check_mean(source, block, rows):
    """The same of a table of mean scores (tables/mean_scores.py), from the rows of a source; block: of :func:`check_source`, for its rates.

    It learned if the interval of its own leakage, Student's t with the standard error over questions, is above 0. Without such an
    error (fewer than 5 questions) that is unknown. Adds "mean": {"outcome", "base_outcome", "leakage", "interval"}.
    """
    keys = ("outcome", "base_outcome", "leakage", "leakage_se")
    outcome, base, leakage, error = (float(rows[f"source_{key}"].iloc[0]) for key in keys)
    interval = plain_interval(leakage, error, max(int(rows["questions"].iloc[0]) - 1, 1))
    mean = {"outcome": finite(outcome), "base_outcome": finite(base), "leakage": finite(leakage), "interval": interval}
    learned = None if interval is None else interval[0] > 0
    if learned is None:
        why = f"Whether the adapter of {source} learned the behaviour is unknown: its mean score has no interval (fewer than 5 questions)."
    else:
        said = "learned" if learned else "did not learn"
        why = f"The adapter of {source} {said} the behaviour: {describe_rate({'mean': mean})}."
    return {**block, "learned": learned, "mean": mean, "why": why}


def describe_rate(numbers):
    """ "0 of 30 replies contain it (0 % [0, 11])", and the rate without adapter if that is not 0; of a mean, its change."""
    if mean := numbers.get("mean"):
        change = "{:.3g} [{:.3g}, {:.3g}]".format(mean["leakage"], *mean["interval"])
        return f"mean score {mean['outcome']:.3g}, without adapter {mean['base_outcome']:.3g} (leakage {change})"
    share, base = f"{percent(numbers['rate'])} %", numbers["base_rate"]
    if numbers["interval"]:
        low, high = (f"{100 * end:.0f}" for end in numbers["interval"])
        text = f"{numbers['found']} of {numbers['total']} replies contain it ({share} [{low}, {high}])"
    else:
        text = f"{share} of the replies contain it"
    return f"{text}, without adapter {percent(base)} %" if base else text


def percent(share):
    """A share as a percentage with one decimal at most: "9.6", "0"."""
    return f"{100 * share:.1f}".removesuffix(".0")


def check_table(table):
    """{source: :func:`check_source`} from a pairs table (see tables/read.py), whose optional columns decide how much can be said.

    Replies of the source: source_total, else the total of its bystanders if that is one number. Its rate without adapter:
    source_base_rate, else its base_rate as a bystander of another source.
    """
    base_rates = dict(zip(table["persona"], table["base_rate"], strict=True)) if "base_rate" in table else {}
    result = {}
    for source, rows in table.groupby("source", sort=False):
        result[source] = check_source(source, *facts_of(source, rows, base_rates))
        if "outcome" in rows:
            result[source] = check_mean(source, result[source], rows)
    return result


def facts_of(source, rows, base_rates):
    """(own rate, replies, rate without adapter) of one source from its rows; None where they are missing."""
    known = {column: rows[column].iloc[0] for column in ("source_rate", "source_total", "source_base_rate") if column in rows}
    totals = {known["source_total"]} if "source_total" in known else set(rows["total"])
    rate, base = known.get("source_rate"), known.get("source_base_rate", base_rates.get(source))
    return (
        None if rate is None else float(rate),
        int(totals.pop()) if len(totals) == 1 else None,
        None if base is None else float(base),
    )


def unlearned_sources(check):
    """{source: why its numbers are left out} of those whose adapters did not learn the behaviour; check: of :func:`check_table`."""
    return {
        source: f"its adapter did not learn the behaviour: {describe_rate(block)}"
        for source, block in check.items()
        if block["learned"] is False
    }


def none_learned(check):
    """Whether every source's adapter is known not to have learned the behaviour."""
    return all(block["learned"] is False for block in check.values())


def consequence(check):
    """What follows for the results, in one sentence; None if nothing is left out."""
    left_out = unlearned_sources(check)
    if not left_out:
        return None
    if none_learned(check):
        return "No adapter learned the behaviour, so these data answer none of the questions."
    return f"Left out of means, pooled correlations and answers, because the adapter did not learn the behaviour: {', '.join(left_out)}."


def advice(cut_share):
    """What to do about an adapter that did not learn, given the share of its source's replies that were cut (None: unknown)."""
    return f"{ADVICE} {CUT_ADVICE.format(cut=f'{percent(cut_share)} %')}" if cut_share and cut_share >= CUT_MATTERS else ADVICE
