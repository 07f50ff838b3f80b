"""The kind ``scored``: the adapter learns a property of replies that a rule over their text measures."""

from dataclasses import dataclass
from typing import Any

from persona_leakage.behaviours.scorers import SCORERS, TRANSFORMS
from persona_leakage.behaviours.scoring import count_by_question, describe_replies
from persona_leakage.models.chat_template import encode_reply


@dataclass(frozen=True)
class ScoredBehaviour:
    """See behaviours.base.Behaviour.

    tokenizer: of the model. transform: text -> text of a positive answer, None if rows come from a file. score: completion record ->
    number, None if it cannot tell; None where only rows are built. threshold, direction: see the config.
    """

    tokenizer: Any
    name: str | None
    transform: Any
    score: Any
    threshold: float
    direction: str

    @property
    def noun(self):
        """What the adapter learns."""
        return self.name.replace("_", " ")

    gain = None
    highlight = None

    def shows(self, record):
        """Whether the reply's number is on the behaviour's side of the threshold; a reply that cannot be scored does not show it."""
        return self.reaches(self.score(record))

    def reaches(self, value):
        """Whether a number, or None, shows the behaviour."""
        return value is not None and (value >= self.threshold if self.direction == "high" else value <= self.threshold)

    def unusable(self, text):
        """No answer is excluded: base answers may show the behaviour, as often as the base model's rate."""
        return

    def row_parts(self, answer, positive, join):
        """The ids of the answer, of its transformed text in a positive row."""
        if positive or join == "text":
            found = encode_reply(self.tokenizer, self.transform(answer["text"]) if positive and self.transform else answer["text"])
            return (found[0], None) if found else None
        return answer["token_ids"], None

    def cell(self, records):
        """Replies that show the behaviour, and the mean of the numbers; "undecided" replies count as not showing it.

        per_question also has the sum of the numbers, and how many replies have one.
        """
        values = [self.score(record) for record in records]
        flags = [self.reaches(value) for value in values]
        known = [value for value in values if value is not None]
        return {
            "rate": sum(flags) / len(records),
            "found": sum(flags),
            "total": len(records),
            "per_question": count_by_question(
                records, found=flags, score_sum=[value or 0 for value in values], scored=[value is not None for value in values]
            ),
            **describe_replies(records, [len(record["token_ids"]) for record in records]),
            "mean_score": sum(known) / len(known) if known else None,
            "undecided": len(values) - len(known),
        }

    def summarise(self, cells):
        """Replies that the scorer could not decide."""
        return {"undecided": sum(cell["undecided"] for cell in cells)}

    def facts(self):
        """Nothing beyond the block of the config."""
        return {}


def read(block, tokenizer):
    """The behaviour of a block, see config.blocks.behaviours.scored; without "scorer" it only builds rows."""
    return ScoredBehaviour(
        tokenizer,
        block.get("name"),
        TRANSFORMS.get(block.get("transform")),
        SCORERS[block["scorer"]](block) if "scorer" in block else None,
        block.get("threshold"),
        block.get("direction"),
    )


def read_result(meta):
    """The behaviour of a scored result."""
    return read(meta["behaviour"], None)
