"""The two outcomes: how often the behaviour shows, and a gain in nats that has no floor.

The first is what people mean by leakage, but it cannot tell personas apart that never show the behaviour. The second can: the gain in
log-probability of the trained text at the end of the base model's replies (teacher_force.py), or the fall in the log-odds of an
item's right option (choice_scoring.py), each against the base model.
The two are different things and need not agree, so each has statistics and a verdict of its own.
"""

import numpy as np

from persona_leakage.infrastructure.undefined import finite
from persona_leakage.statistics.leakage.correlations import correlate, leakage_of

RATE, MEAN_SCORE, LOGPROB_GAIN = "rate", "mean_score", "logprob_gain"
UNIT = "nats"


def why_no_gain(table):
    """Why a pairs table has no second outcome, or None."""
    if "logprob_gain" not in table or "logprob_replies" not in table:
        return "the table has no columns logprob_gain and logprob_replies (evaluation.teacher_forced measures them)"
    if table["logprob_gain"].isna().all():
        return "no reply of the base model that was read has an end; raise evaluation.sampling.max_new_tokens"
    return None


def gain_table(table):
    """A pairs table whose rate is the gain in log-probability: a number on its own scale, which has no control to be taken off."""
    sums = table["logprob_gain"] * table["logprob_replies"]
    return table.drop(columns="base_rate", errors="ignore").assign(rate=table["logprob_gain"], found=sums, total=table["logprob_replies"])


def gain_counts(counts):
    """{"found": sums of gains, "total": replies} [sources, personas, questions that were read], or None without them.

    counts: as read_question_counts gives them, or None.
    """
    if counts is None or "logprob_gain" not in counts:
        return None
    read = np.nansum(counts["logprob_replies"], axis=(0, 1)) > 0
    found = {"found": np.nan_to_num(counts["logprob_gain"]) * counts["logprob_replies"], "total": counts["logprob_replies"]}
    return {name: values[:, :, read] for name, values in found.items()}


def describe_agreement(table, by_rate, by_gain):
    """{source: both levels and correlations, and how far the outcomes rank the bystanders alike} from the pairs of one layer.

    by_rate, by_gain: the blocks "per_source" of that layer. agreement: Spearman's rho of the two outcomes over the source's bystanders.
    """
    result = {}
    for source, rows in table.groupby("source", sort=False):
        known = rows.dropna(subset=["logprob_gain"])
        source_gain = rows["source_logprob_gain"].iloc[0] if "source_logprob_gain" in rows else np.nan
        result[source] = {
            "source_logprob_gain": finite(source_gain),
            "mean_bystander_logprob_gain": finite(known["logprob_gain"].mean()),
            "agreement": correlate(leakage_of(known), known["logprob_gain"])["spearman_rho"],
            "rho": {RATE: by_rate[source]["spearman_rho"], LOGPROB_GAIN: by_gain[source]["spearman_rho"]},
        }
    return result


def judged_by_gain(by_rate, by_gain, per_source):
    """{source: why the statistics of rates exclude it, and its correlation by the other outcome} where that one has it.

    by_rate, by_gain: the blocks "joint"; per_source: of the gain's headline layer.
    """
    if by_gain["undefined"]:
        return {}
    reasons = {name: by_rate["undefined"] for name in per_source} if by_rate["undefined"] else {}
    reasons |= by_rate["sources_left_out"]
    return {
        name: {"reason": reasons[name], "rho": per_source[name]["spearman_rho"], "interval": per_source[name]["spearman_interval"]}
        for name in by_gain["sources"]
        if name in reasons
    }
