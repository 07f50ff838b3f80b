"""The tables beside pairs.csv: counts per question, and the cosines between all personas."""

import numpy as np
import pandas as pd

from persona_leakage.errors import InputError
from persona_leakage.table_file import COSINE, COUNT, NAME, POSITIVE, read_table, refuse_repeats

COUNTS_COLUMNS = {"source": NAME, "persona": NAME, "question": COUNT, "found": COUNT, "total": POSITIVE}
COSINE_COLUMNS = {"layer": COUNT, "persona_a": NAME, "persona_b": NAME, "cosine": COSINE}


def tabulate_questions(evaluations):
    """Rows (source, persona, question, found, total) from {source: {persona: cell of marker_eval.json}}: a DataFrame."""
    rows = [
        (source, persona, int(question), counts["found"], counts["total"])
        for source, cells in evaluations.items()
        for persona, cell in cells.items()
        if persona != source
        for question, counts in cell["per_question"].items()
    ]
    return pd.DataFrame(rows, columns=list(COUNTS_COLUMNS))


def tabulate_cosines(names, matrices):
    """Rows (layer, persona_a, persona_b, cosine), each unordered pair once, from {layer: [personas, personas]}: a DataFrame."""
    upper, lower = np.triu_indices(len(names), k=1)
    frames = [
        pd.DataFrame(
            {
                "layer": layer,
                "persona_a": [names[place] for place in upper],
                "persona_b": [names[place] for place in lower],
                "cosine": matrix[upper, lower],
            }
        )
        for layer, matrix in sorted(matrices.items())
    ]
    return pd.concat(frames, ignore_index=True)


def read_question_counts(path, matrices):
    """{"found", "total"} [sources, personas, questions] on the axes of a PairMatrices; NaN for personas without a pair.

    InputError if a pair has no counts for a question that another has, or if a pair's counts do not add up to its own.
    """
    table = read_table(path, COUNTS_COLUMNS, {}, refuse_repeats("source", "persona", "question"))
    table = table[table["source"].isin(matrices.sources) & table["persona"].isin(matrices.personas)]
    questions = sorted(set(table["question"].tolist()))
    counts = {
        key: spread(table, {"source": matrices.sources, "persona": matrices.personas, "question": questions}, key)
        for key in ("found", "total")
    }
    for place in np.argwhere(~np.isnan(matrices.found)):
        source, persona = matrices.sources[place[0]], matrices.personas[place[1]]
        if not questions or np.isnan(counts["found"][tuple(place)]).any():
            raise InputError(
                f"{path}: lacks counts of persona '{persona}' with source '{source}' for some question; the pairs table has that pair"
            )
        for key in ("found", "total"):
            summed, known = counts[key][tuple(place)].sum(), getattr(matrices, key)[tuple(place)]
            if summed != known:
                raise InputError(
                    f"{path}: {key} of persona '{persona}' with source '{source}' adds up to {summed:.0f}; the pairs table has {known:.0f}"
                )
    return counts


def read_cosines(path, matrices):
    """Cosines between all personas [layers, personas, personas] on the axes of a PairMatrices; 1 between a persona and itself.

    InputError if a pair is missing or contradicts the pairs table.
    """
    table = read_table(path, COSINE_COLUMNS, {}, refuse_repeats("layer", "persona_a", "persona_b"))
    axes = {"layer": matrices.layers, "persona_a": matrices.personas, "persona_b": matrices.personas}
    table = table[
        table["layer"].isin(matrices.layers) & table["persona_a"].isin(matrices.personas) & table["persona_b"].isin(matrices.personas)
    ]
    one_way = spread(table, axes, "cosine")
    cosines = np.where(np.isnan(one_way), one_way.swapaxes(1, 2), one_way)
    cosines[:, np.arange(len(matrices.personas)), np.arange(len(matrices.personas))] = 1
    if np.isnan(cosines).any():
        layer, first, second = np.argwhere(np.isnan(cosines))[0]
        raise InputError(
            f"{path}: has no cosine of '{matrices.personas[first]}' and '{matrices.personas[second]}' at layer {matrices.layers[layer]}"
        )
    rows = [matrices.personas.index(name) for name in matrices.sources]
    apart = np.abs(cosines[:, rows] - matrices.cosines["cosine"]) > 1e-6
    if apart.any():
        layer, source, persona = np.argwhere(apart)[0]
        raise InputError(
            f"{path}: cosine of '{matrices.sources[source]}' and '{matrices.personas[persona]}' at layer {matrices.layers[layer]}"
            f" is {cosines[layer, rows[source], persona]:.6f}; the pairs table has {matrices.cosines['cosine'][layer, source, persona]:.6f}"
        )
    return cosines


def spread(table, axes, column):
    """A column as an array with ``axes`` {column: values}; NaN where the table has no row."""
    filled = np.full([len(values) for values in axes.values()], np.nan)
    places = [table[name].map({value: place for place, value in enumerate(values)}).to_numpy() for name, values in axes.items()]
    if len(table):
        filled[tuple(places)] = table[column].to_numpy()
    return filled
