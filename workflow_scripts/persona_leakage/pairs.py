"""The tidy table of pairs: one row for each layer, source and bystander; the only input of statistics and figures."""

import numpy as np
import pandas as pd

from persona_leakage.errors import InputError
from persona_leakage.geometry import cosine_matrix

COLUMNS = [
    "layer",
    "source",
    "persona",
    "category",
    "related",
    "negative",
    "cosine",
    "cosine_raw",
    "rate",
    "found",
    "total",
    "base_rate",
    "source_rate",
    "prompt_tokens",
]
NUMBERS = ["cosine", "cosine_raw", "rate"]
FLAGS = ["related", "negative"]


def tabulate_pairs(layers, evaluations, base, negatives):
    """One row per (layer, source, bystander); a source is no bystander of itself, the other sources are.

    layers: {layer: {"personas": [names], "prompt_tokens": [ints], "centroids": [personas, hidden]}}.
    evaluations: {source: {persona: cell of marker_eval.json}}; base: the same cells without adapter.
    negatives: {source: names that served as negatives}.
    Returns a DataFrame with the columns COLUMNS; cosine is centred on the panel, cosine_raw is not.
    """
    rows = []
    for layer, geometry in sorted(layers.items()):
        names = geometry["personas"]
        centred, raw = (cosine_matrix(geometry["centroids"], centred=flag) for flag in (True, False))
        for source, cells in evaluations.items():
            if set(cells) != set(names):
                raise InputError(f"the evaluation of '{source}' and the centroids of layer {layer} have different panels")
            if set(base) != set(names):
                raise InputError(f"the evaluation of the base model and the centroids of layer {layer} have different panels")
            origin = names.index(source)
            for place, persona in enumerate(names):
                if persona == source:
                    continue
                cell = cells[persona]
                rows.append(
                    {
                        "layer": layer,
                        "source": source,
                        "persona": persona,
                        "category": cell["category"],
                        "related": source in cell["related_to"],
                        "negative": persona in negatives[source],
                        "cosine": centred[origin, place],
                        "cosine_raw": raw[origin, place],
                        "rate": cell["rate"],
                        "found": cell["found"],
                        "total": cell["total"],
                        "base_rate": base[persona]["rate"],
                        "source_rate": cells[source]["rate"],
                        "prompt_tokens": geometry["prompt_tokens"][place],
                    }
                )
    return pd.DataFrame(rows, columns=COLUMNS)


def read_pairs(path):
    """Read pairs.csv; InputError if it is missing or lacks a column."""
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values={name: ["", "nan"] for name in NUMBERS})
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except pd.errors.EmptyDataError:
        raise InputError(f"{path}: is empty") from None
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise InputError(f"{path}: missing columns {', '.join(missing)}")
    if not np.isfinite(table[NUMBERS].apply(pd.to_numeric, errors="coerce").to_numpy()).all():
        raise InputError(f"{path}: cosine, cosine_raw and rate must be finite numbers in every row")
    return table.astype({flag: bool for flag in FLAGS})
