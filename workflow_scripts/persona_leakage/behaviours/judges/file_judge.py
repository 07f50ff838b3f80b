"""Scores from a file: hand labels, or the output of another tool."""

from dataclasses import dataclass
from typing import Any

from persona_leakage.config.judge_prompts import read_labelled, reply_digest
from persona_leakage.infrastructure.cli import InputError


@dataclass(frozen=True)
class FileJudge:
    """A judge with the methods of judges.asking.Judge. scores: {digest of question and reply: {score: number}}."""

    judge: Any
    scores: dict

    def best_mode(self, scores):
        """The file."""
        return "file"

    def ask(self, asks, mode, label):
        """See judges.asking.Judge; InputError if the file lacks a reply."""
        found = [self.scores.get(reply_digest(each.question, each.answer), {}).get(each.name) for each in asks]
        if missing := sum(value is None for value in found):
            raise InputError(
                f"{self.judge.model}: lacks the scores of {missing} of {len(asks)} replies; a line has question, answer, scores"
            )
        return [{"value": value} for value in found]


def open_judge(judge, store, context):
    """The :class:`FileJudge` of a config block; InputError with the line of a score that is no number."""
    scores = {}
    for number, row in enumerate(read_labelled(judge.model, {"question", "answer", "scores"}), 1):
        values = row["scores"]
        if not isinstance(values, dict) or any(isinstance(value, bool) or not isinstance(value, int | float) for value in values.values()):
            raise InputError(f'{judge.model}, entry {number}: scores must be numbers by name, such as {{"aligned": 80}}')
        scores[reply_digest(row["question"], row["answer"])] = values
    return FileJudge(judge, scores)
