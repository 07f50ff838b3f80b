"""The mean score as the outcome (behaviour.measure: mean): its columns in pairs.csv and question_counts.csv."""

import math

import numpy as np

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.csv_reader import COUNT, MEASURED_LENGTH, MEASURED_NUMBER

PAIR_COLUMNS = {
    "outcome": MEASURED_NUMBER,
    "base_outcome": MEASURED_NUMBER,
    "leakage": MEASURED_NUMBER,
    "leakage_se": MEASURED_LENGTH,
    "scored": COUNT,
    "questions": COUNT,
    "source_outcome": MEASURED_NUMBER,
    "source_base_outcome": MEASURED_NUMBER,
    "source_leakage": MEASURED_NUMBER,
    "source_leakage_se": MEASURED_LENGTH,
}
QUESTION_COLUMNS = {"score": MEASURED_NUMBER, "scored": COUNT}
SUMS = ("score_sum", "scored")  # keys of a cell's questions
DECIMALS = 12  # of leakage, so that equal differences are equal
TOLERANCE = 1e-6


def add_means(table, evaluations, base, direction, errors_of):
    """A pairs table whose leakage is the change of the mean score: the columns PAIR_COLUMNS.

    evaluations: {source: {persona: cell of cells.json}}; base: the same cells without adapter. direction: high or low scores are the
    behaviour, so leakage is the rise or the fall of the mean. outcome: mean score of the ``scored`` replies that have one, to
    ``questions`` different questions. leakage_se: errors_of(cells, base, keys), from a bootstrap of whole questions. NaN for a persona
    without a scored reply.
    """
    sign = 1 if direction == "high" else -1
    blocks = {}
    for source, cells in evaluations.items():
        errors = errors_of(cells, base, SUMS)
        for persona, cell in cells.items():
            after, before = (math.nan if each["mean_score"] is None else each["mean_score"] for each in (cell, base[persona]))
            blocks[source, persona] = {
                "outcome": after,
                "base_outcome": before,
                "leakage": round(sign * (after - before), DECIMALS),
                "leakage_se": errors[persona],
                "scored": sum(counts["scored"] for counts in cell["per_question"].values()),
                "questions": sum(counts["scored"] > 0 for counts in cell["per_question"].values()),
            }
    pairs = list(zip(table["source"], table["persona"], strict=True))
    columns = {name: [blocks[pair][name] for pair in pairs] for name in blocks[pairs[0]]}
    own = {f"source_{name}": [blocks[source, source][name] for source, _ in pairs] for name in columns if f"source_{name}" in PAIR_COLUMNS}
    return table.assign(**columns, **own)


def question_means(counts):
    """The columns QUESTION_COLUMNS of one question of a cell: mean of the scored replies (None: none), and how many they are."""
    return {"score": counts["score_sum"] / counts["scored"] if counts["scored"] else None, "scored": counts["scored"]}


def check_means(values, place):
    """InputError if a row has some of the columns PAIR_COLUMNS alone, or leakage is no difference of its means."""
    if missing := [name for name in PAIR_COLUMNS if name not in values]:
        raise InputError(f"{place}: has the column outcome but not {missing[0]}; a table of mean scores has {', '.join(PAIR_COLUMNS)}")
    for prefix in ("", "source_"):
        change, after, before = (values[f"{prefix}{name}"] for name in ("leakage", "outcome", "base_outcome"))
        if math.isnan(change) != math.isnan(after - before) or abs(abs(change) - abs(after - before)) > TOLERANCE:
            said = f"{prefix}leakage is {change}, but {prefix}outcome and {prefix}base_outcome are {after} and {before}"
            raise InputError(f"{place}: {said}; give their difference, positive for more of the behaviour")


def sign_of(table, path="the pairs table"):
    """1 if leakage is the rise of the mean score in a table of means, -1 if it is the fall; InputError if it is both."""
    rise = (table["outcome"] - table["base_outcome"]).to_numpy()
    leakage = table["leakage"].to_numpy()
    for sign in (1, -1):
        if np.nanmax(np.abs(leakage - sign * rise), initial=0) <= TOLERANCE:
            return sign
    raise InputError(f"{path}: leakage is the rise of outcome in some rows and the fall in others; it must be the same in all")


def signed_means(table):
    """(a table of means for the statistics, see sign_of): rate and base_rate are the means, negative where low is the behaviour.

    found: their sums over the ``total`` scored replies.
    """
    sign = sign_of(table)
    means = sign * table["outcome"]
    sums = means * table["scored"]
    return table.assign(rate=means, base_rate=sign * table["base_outcome"], found=sums, total=table["scored"]), sign
