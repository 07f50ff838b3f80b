"""Synthetic experiments as the files that the programs read."""

import numpy as np
import pandas as pd

from persona_leakage.side_tables import tabulate_cosines
from persona_leakage.simulation import SCENARIOS, simulate


def make_tables(world=SCENARIOS["pair effect"], seed=0):
    """{"pairs", "question_counts", "cosines"}: DataFrames of one synthetic experiment."""
    matrices, counts, cosines = simulate(world, np.random.default_rng(seed))
    pairs, questions = [], []
    for row, source in enumerate(matrices.sources):
        for column, persona in enumerate(matrices.personas):
            if persona == source:
                continue
            found, total = int(matrices.found[row, column]), int(matrices.total[row, column])
            for place, layer in enumerate(matrices.layers):
                pairs.append(
                    {
                        "layer": layer,
                        "source": source,
                        "persona": persona,
                        "category": matrices.categories[column],
                        "related": column % 3 == 0,
                        "cosine": matrices.cosines["cosine"][place, row, column],
                        "rate": found / total,
                        "found": found,
                        "total": total,
                        "source_rate": 0.5,
                        "word_similarity": 1 / (1 + np.exp(-matrices.cosines["word_similarity"][place, row, column])),
                        "prompt_tokens": int(matrices.prompt_tokens[column]),
                    }
                )
            for question in range(world.questions):
                replies = {key: int(values[row, column, question]) for key, values in counts.items()}
                questions.append({"source": source, "persona": persona, "question": f"question {question}?", **replies})
    panel = tabulate_cosines(matrices.personas, dict(zip(matrices.layers, cosines, strict=True)))
    return {"pairs": pd.DataFrame(pairs), "question_counts": pd.DataFrame(questions), "cosines": panel}


def save_tables(tables, folder):
    """Write them as CSV; the options of correlate_leakage that read them."""
    options = []
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False, na_rep="nan")
        options += [f"--{name.replace('_', '-')}", str(folder / f"{name}.csv")]
    return options
