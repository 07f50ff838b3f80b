"""Does a judge tell labelled replies apart? Checked before it judges anything else."""

from persona_leakage.behaviours.judges.answers import SCORED
from persona_leakage.behaviours.judges.asking import judge_replies
from persona_leakage.config.judge_prompts import reply_digest
from persona_leakage.infrastructure.cli import InputError

LEAST_SCORED = 0.8


def check_gold(judge, mode, gold, scores, block, path):
    """{"auc", "replies", "scored", "answers": [{"label", "score"}]} of labelled replies; InputError if the AUC is below min_auc.

    gold: see judge_prompts.read_gold. AUC: share of pairs of a reply with and one without the behaviour that the judge orders rightly,
    ties counting half (Mann and Whitney 1947). block: the behaviour's.
    """
    found = judge_replies(judge, mode, [(row["question"], row["answer"]) for row in gold], scores, "judge, labelled replies")
    sign = 1 if block.direction == "high" else -1
    judged = [(row["label"], found[reply_digest(row["question"], row["answer"])][block.score]) for row in gold]
    known = [(label, sign * each["value"]) for label, each in judged if each["state"] == SCORED]
    result = {
        "replies": len(gold),
        "scored": len(known),
        "auc": area(known),
        "answers": [{"label": label, "state": each["state"], "score": each["value"]} for label, each in judged],
    }
    said = "none of one label scored" if result["auc"] is None else f"AUC {result['auc']:.2f}"
    print(f"judge, labelled replies: {said}, {len(known)} of {len(gold)} scored", flush=True)
    if result["auc"] is None or result["auc"] < block.min_auc or len(known) < LEAST_SCORED * len(gold):
        raise InputError(
            f"{path}: the judge does not tell these replies apart: {said}, {len(known)} of {len(gold)} scored; allowed: at least"
            f" behaviour.min_auc ({block.min_auc}) and {LEAST_SCORED:.0%}; use another judge or prompt"
        )
    return result


def area(known):
    """AUC of (label, score) pairs; None if a label is missing."""
    high, low = ([score for label, score in known if label is wanted] for wanted in (True, False))
    if not high or not low:
        return None
    return sum((one > other) + (one == other) / 2 for one in high for other in low) / (len(high) * len(low))
