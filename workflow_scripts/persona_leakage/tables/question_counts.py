"""question_counts.csv (counts per question) and cosines.csv (cosines between all personas)."""

import numpy as np
import pandas as pd

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.csv_reader import COSINE, COUNT, MEASURED_NUMBER, NAME, POSITIVE, read_table, refuse_repeats
from persona_leakage.tables.mean_scores import QUESTION_COLUMNS, question_means

COUNTS_COLUMNS = {"source": NAME, "persona": NAME, "question": NAME, "found": COUNT, "total": POSITIVE}
GAIN_COLUMNS = {"logprob_gain": MEASURED_NUMBER, "logprob_replies": COUNT}
NOT_READ = {"end_gain": None, "ended": 0}  # a question whose replies were not read (evaluation.teacher_forced.questions)
COSINE_COLUMNS = {"layer": COUNT, "persona_a": NAME, "persona_b": NAME, "cosine": COSINE}


def tabulate_questions(evaluations, forced=None, means=False):
    """Rows (source, persona, question, found, total) from {source: {persona: cell of an evaluation}}: a DataFrame.

    forced: the same of teacher_forced.json, if it was measured: adds the columns GAIN_COLUMNS. means: adds QUESTION_COLUMNS.
    """
    rows = []
    for source, cells in evaluations.items():
        for persona, cell in cells.items():
            if persona == source:
                continue
            for question, counts in cell["per_question"].items():
                block = forced[source][persona]["per_question"].get(question, NOT_READ) if forced else {}
                gain = {"logprob_gain": block["end_gain"], "logprob_replies": block["ended"]} if forced else {}
                gain |= question_means(counts) if means else {}
                rows.append(
                    {"source": source, "persona": persona, "question": question, "found": counts["found"], "total": counts["total"], **gain}
                )
    return pd.DataFrame(rows, columns=[*COUNTS_COLUMNS, *(GAIN_COLUMNS if forced else ()), *(QUESTION_COLUMNS if means else ())])


def tabulate_cosines(names, matrices):
    """Rows (layer, persona_a, persona_b, cosine), each unordered pair once, from {layer: [personas, personas]}: a DataFrame."""
    upper, lower = np.triu_indices(len(names), k=1)
    pairs = {"persona_a": np.array(names)[upper], "persona_b": np.array(names)[lower]}
    frames = [pd.DataFrame({"layer": layer, **pairs, "cosine": matrix[upper, lower]}) for layer, matrix in sorted(matrices.items())]
    return pd.concat(frames, ignore_index=True)


def check_counts(values, seen, path, line):
    """InputError if a row repeats another or found exceeds total."""
    refuse_repeats("source", "persona", "question")(values, seen, path, line)
    if values["found"] > values["total"]:
        raise InputError(f"{path}, line {line}: found is {values['found']}; it must be at most total, {values['total']}")


def read_question_counts(path, matrices):
    """{"found", "total"} [sources, personas, questions] on the axes of a PairMatrices; NaN for personas without a pair.

    Where the table has them, also those of GAIN_COLUMNS. With PairMatrices of mean scores, found has sums of scores and total counts
    scored replies.

    InputError if a pair has no counts for a question that another has, or if a pair's counts do not add up to its own.
    """
    table = read_table(path, COUNTS_COLUMNS, {**GAIN_COLUMNS, **QUESTION_COLUMNS}, check_counts)
    if matrices.sign:
        if not {*QUESTION_COLUMNS} <= {*table}:
            raise InputError(f"{path}: lacks the columns {' and '.join(QUESTION_COLUMNS)}; the pairs table has mean scores")
        table = table.assign(found=matrices.sign * table["score"].fillna(0) * table["scored"], total=table["scored"])
    if len(set(GAIN_COLUMNS) & set(table)) == 1:
        raise InputError(f"{path}: has one of the columns {' and '.join(GAIN_COLUMNS)}; give both, or neither")
    table = table[table["source"].isin(matrices.sources) & table["persona"].isin(matrices.personas)]
    questions = sorted(set(table["question"].tolist()))
    axes = {"source": matrices.sources, "persona": matrices.personas, "question": questions}
    counts = {key: spread(table, axes, key) for key in ("found", "total", *GAIN_COLUMNS) if key in table}
    for index in map(tuple, np.argwhere(~np.isnan(matrices.found))):
        pair = f"persona '{matrices.personas[index[1]]}' with source '{matrices.sources[index[0]]}'"
        if not questions or np.isnan(counts["found"][index]).any():
            raise InputError(f"{path}: lacks counts of {pair} for some question; the pairs table has that pair")
        for key, known in (("found", matrices.found[index]), ("total", matrices.total[index])):
            if abs(counts[key][index].sum() - known) > 1e-6 * max(1, abs(known)):
                raise InputError(f"{path}: {key} of {pair} adds up to {counts[key][index].sum():.0f}; the pairs table has {known:.0f}")
    return counts


def check_cosine(values, seen, path, line):
    """InputError if a row repeats a pair, in either order, or is no pair."""
    first, second = sorted((values["persona_a"], values["persona_b"]))
    if first == second:
        raise InputError(f"{path}, line {line}: persona_a and persona_b are both '{first}'; give each pair of two personas once")
    refuse_repeats("layer", "persona_a", "persona_b")({**values, "persona_a": first, "persona_b": second}, seen, path, line)


def read_cosine_rows(path):
    """cosines.csv as a DataFrame with the columns COSINE_COLUMNS; InputError at the first bad value."""
    return read_table(path, COSINE_COLUMNS, {}, check_cosine)


def read_cosines(path, matrices):
    """Cosines between all personas [layers, personas, personas] on the axes of a PairMatrices; 1 between a persona and itself.

    InputError if a pair is missing or contradicts the pairs table.
    """
    table = read_cosine_rows(path)
    table = table[table["layer"].isin(matrices.layers) & table[["persona_a", "persona_b"]].isin(matrices.personas).all(axis=1)]
    one_way = spread(table, {"layer": matrices.layers, "persona_a": matrices.personas, "persona_b": matrices.personas}, "cosine")
    cosines = np.where(np.isnan(one_way), one_way.swapaxes(1, 2), one_way)
    diagonal = np.arange(len(matrices.personas))
    cosines[:, diagonal, diagonal] = 1
    for layer, first, second in np.argwhere(np.isnan(cosines))[:1]:
        pair = f"'{matrices.personas[first]}' and '{matrices.personas[second]}'"
        raise InputError(f"{path}: has no cosine of {pair} at layer {matrices.layers[layer]}")
    rows = [matrices.personas.index(name) for name in matrices.sources]
    known = matrices.cosines["cosine"]
    for layer, source, persona in np.argwhere(np.abs(cosines[:, rows] - known) > 1e-6)[:1]:
        pair = f"'{matrices.sources[source]}' and '{matrices.personas[persona]}'"
        found, there = cosines[layer, rows[source], persona], known[layer, source, persona]
        raise InputError(f"{path}: cosine of {pair} at layer {matrices.layers[layer]} is {found:.6f}; the pairs table has {there:.6f}")
    return cosines


def spread(table, axes, column, fill=np.nan, kind=float):
    """A column as an array of dtype ``kind`` with ``axes`` {column: values}; ``fill`` where the table has no row."""
    filled = np.full([len(values) for values in axes.values()], fill, dtype=kind)
    indices = [table[name].map({value: index for index, value in enumerate(values)}).to_numpy() for name, values in axes.items()]
    if len(table):
        filled[tuple(indices)] = table[column].to_numpy()
    return filled
