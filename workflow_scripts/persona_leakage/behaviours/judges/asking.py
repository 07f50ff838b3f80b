"""Ask a judge about replies, read its answers, and check it on labelled replies."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from persona_leakage.behaviours.judges.answers import SCORED, UNPARSABLE, read_answer
from persona_leakage.config.judge_prompts import reply_digest
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.seeds import derive_seed

SHARE_STEPS = 10_000
LEAST_SCORED = 0.8  # of the labelled replies
REPEAT, AGAIN = 1, 2  # copies of a question: to measure the judge's noise, and after an unreadable answer


@dataclass(frozen=True)
class Ask:
    """One question to a judge. name: of the score; score: judge_prompts.Score, None if the judge has no prompts; copy: 0, REPEAT, AGAIN."""

    name: str
    score: Any
    question: str
    answer: str
    copy: int = 0


class Judge(Protocol):
    """A judge that is ready to answer; open_judge(judge, store, context) of a module of this folder gives one."""

    def best_mode(self, scores):
        """How scores are read, see answers.read_answer, for the scores of an experiment."""

    def ask(self, asks, mode, label):
        """The answer to each of the list ``asks``, in order. label: for the log."""


def open_judge(judge, store, context):
    """The :class:`Judge` of a config block; its module is imported only now, because each backend needs other packages."""
    return import_module(f"persona_leakage.behaviours.judges.{judge.backend}_judge").open_judge(judge, store, context)


def is_chosen(digest, share, purpose):
    """Whether a reply belongs to a share of all, by its digest alone."""
    return derive_seed("judge", purpose, digest) % SHARE_STEPS < share * SHARE_STEPS


def judge_replies(judge, mode, replies, scores, label, copy=0):
    """{digest: {score: see read_answer}} of ``replies`` [(question, text)]; equal replies are asked once.

    scores: {name: judge_prompts.Score or None}. An answer that cannot be read is asked for once more. copy: of the first question.
    """
    unique = {reply_digest(*reply): reply for reply in replies}
    asks = {(digest, name): Ask(name, score, *reply, copy) for digest, reply in unique.items() for name, score in scores.items()}
    found = read_all(judge, mode, asks, label)
    unread = {
        key: Ask(ask.name, ask.score, ask.question, ask.answer, AGAIN) for key, ask in asks.items() if found[key]["state"] == UNPARSABLE
    }
    if unread and mode in ("first_token", "number") and copy == 0:
        found |= read_all(judge, mode, unread, f"{label}, unreadable answers again")
    return {digest: {name: found[digest, name] for name in scores} for digest in unique}


def read_all(judge, mode, asks, label):
    """{key: see read_answer} of ``asks`` {key: Ask}."""
    answers = judge.ask(list(asks.values()), mode, label) if asks else []
    return {key: read_answer(answer, ask.score, mode) for (key, ask), answer in zip(asks.items(), answers, strict=True)}


def check_gold(judge, mode, gold, scores, block, path):
    """{"auc", "replies", "scored", "answers": [{"label", "score"}]} of labelled replies; InputError if the AUC is below min_auc.

    gold: see judge_prompts.read_gold. AUC: share of pairs of a reply with and one without the behaviour that the judge orders correctly,
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
    print(f"judge on labelled replies: {said}, {len(known)} of {len(gold)} scored", flush=True)
    if result["auc"] is None or result["auc"] < block.min_auc or len(known) < LEAST_SCORED * len(gold):
        raise InputError(
            f"{path}: the judge does not separate these replies: {said}, {len(known)} of {len(gold)} scored; allowed: at least"
            f" behaviour.min_auc ({block.min_auc}) and {LEAST_SCORED:.0%}; use another judge or prompt"
        )
    return result


def area(known):
    """AUC of (label, score) pairs; None if a label is missing."""
    high, low = ([score for label, score in known if label is wanted] for wanted in (True, False))
    if not high or not low:
        return None
    return sum((one > other) + (one == other) / 2 for one in high for other in low) / (len(high) * len(low))
