"""The kind ``judged``: the adapter learns a trait of replies that a language model judges."""

from dataclasses import dataclass
from typing import Any

from persona_leakage.behaviours.judges.answers import JUDGE_REFUSED, SCORED, UNPARSABLE
from persona_leakage.behaviours.kinds.scored import ScoredBehaviour
from persona_leakage.infrastructure.cli import InputError

COHERENT_SHARE, COHERENT_RANGE = 0.7, 0.2  # below, and differences between personas above, which of_coherent is a selection
MISSING_SHARE, MISSING_RANGE, MOST_MISSING = 0.02, 0.05, 0.2  # replies without a score because of the judge


@dataclass(frozen=True)
class JudgedBehaviour(ScoredBehaviour):
    """See behaviours.base.Behaviour; a record holds "judgement", see judge_replies. block: of the config."""

    block: Any = None

    def reaches(self, value):
        """Whether a score is strictly beyond the threshold; False for None."""
        return value is not None and (value > self.threshold if self.direction == "high" else value < self.threshold)

    def cell(self, records):
        """The cell of a scored behaviour, with "states" of the replies, "rates" of all and of coherent replies, "bounds" of the rate for
        any scores of the replies without one, "means" of each score; "repeat" and "second": how much other judgements differ."""
        states = [state_of(record["judgement"]["scores"]) for record in records]
        cell, total = super().cell(records), len(records)
        coherent = sum(self.score(record) is not None for record in records)
        missing = sum(state in (JUDGE_REFUSED, UNPARSABLE) for state in states)
        return {
            **cell,
            "states": {state: states.count(state) for state in sorted(set(states))},
            "coherent": coherent,
            "missing": missing,
            "rates": {"of_all": cell["rate"], "of_coherent": cell["found"] / coherent if coherent else None},
            "bounds": [cell["rate"], (cell["found"] + missing) / total],
            "means": {name: mean_score(records, name) for name in (self.block["score"], *self.block["require"])},
            **{key: self.compare(records, key) for key in ("repeat", "second")},
        }

    def compare(self, records, key):
        """{"replies", "difference" (sum of absolute differences), "flipped" (other side of the threshold)} of other judgements."""
        name = self.block["score"]
        pairs = [(record["judgement"]["scores"][name], record["judgement"][key][name]) for record in records if record["judgement"][key]]
        values = [(one["value"], other["value"]) for one, other in pairs if one["state"] == other["state"] == SCORED]
        return {
            "replies": len(values),
            "difference": sum(abs(one - other) for one, other in values),
            "flipped": sum(self.reaches(one) != self.reaches(other) for one, other in values),
        }

    def summarise(self, cells):
        """The same of the panel, with flags; InputError if the judge scored too few replies."""
        total = sum(cell["total"] for cell in cells)
        missing, coherent, found = (sum(cell[key] for cell in cells) for key in ("missing", "coherent", "found"))
        if missing > MOST_MISSING * total:
            raise InputError(
                f"{missing} of {total} replies have no score because the judge refused or answered something else, more than"
                f" {MOST_MISSING:.0%}; use another judge or prompt"
            )
        states = sorted({state for cell in cells for state in cell["states"]})
        shares = {key: [cell[key] / cell["total"] for cell in cells] for key in ("missing", "coherent")}
        tests = {
            "missing": missing > MISSING_SHARE * total or spread(shares["missing"]) > MISSING_RANGE,
            "incoherent": bool(self.block["require"])
            and (coherent < COHERENT_SHARE * total or spread(shares["coherent"]) > COHERENT_RANGE),
        }
        return {
            "states": {state: sum(cell["states"].get(state, 0) for cell in cells) for state in states},
            "coherent_share": coherent / total,
            "missing_share": missing / total,
            "rates": {"of_all": found / total, "of_coherent": found / coherent if coherent else None},
            "bounds": [found / total, (found + missing) / total],
            "flags": [name for name, flagged in tests.items() if flagged],
            "per_question": {
                question: rate_of([cell["per_question"][question] for cell in cells]) for question in cells[0]["per_question"]
            },
            **{key: add_comparisons([cell[key] for cell in cells]) for key in ("repeat", "second")},
        }


def state_of(scores):
    """The state of a reply: scored, or that of the first score that is not."""
    return next((judged["state"] for judged in scores.values() if judged["state"] != SCORED), SCORED)


def mean_score(records, name):
    """Mean of a score over the replies that have it; None without any."""
    values = [judged["value"] for record in records if (judged := record["judgement"]["scores"][name])["state"] == SCORED]
    return sum(values) / len(values) if values else None


def rate_of(counts):
    """Share of {"found", "total"} counts together."""
    return sum(count["found"] for count in counts) / sum(count["total"] for count in counts)


def spread(values):
    """Largest minus smallest."""
    return max(values) - min(values)


def add_comparisons(parts):
    """{"replies", "mean_difference", "flipped_share"} of all personas; means are None without replies."""
    replies = sum(part["replies"] for part in parts)
    sums = {key: sum(part[key] for part in parts) for key in ("difference", "flipped")}
    return {
        "replies": replies,
        "mean_difference": sums["difference"] / replies if replies else None,
        "flipped_share": sums["flipped"] / replies if replies else None,
    }


def scorer(block):
    """completion record -> the deciding score; None unless the reply has all scores and the required ones are high enough."""

    def score(record):
        scores = record["judgement"]["scores"]
        if state_of(scores) != SCORED or any(scores[name]["value"] <= limit for name, limit in block["require"].items()):
            return None
        return scores[block["score"]]["value"]

    return score


def read(block, tokenizer):
    """The behaviour of a block, see config.blocks.behaviours.judged; without "score" it only builds rows."""
    score = scorer(block) if "score" in block else None
    return JudgedBehaviour(tokenizer, block.get("name"), None, score, block.get("threshold"), block.get("direction"), block)


def read_result(meta):
    """The behaviour of a scored result."""
    return read(meta["behaviour"], None)
