"""Synthetic experiments as the files that the programs read."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd

from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.leakage.summary import analyse
from persona_leakage.statistics.validation.simulation import SCENARIOS, simulate
from persona_leakage.tables.question_counts import read_cosines, read_question_counts, tabulate_cosines
from persona_leakage.tables.read import read_pairs

QUICK = {"min_category_size": 5, "permutations": 199, "bootstraps": 200}
SMALL = replace(SCENARIOS["pair effect"], bystanders=12, sources=3)


def make_tables(world=SCENARIOS["pair effect"], seed=0):
    """{"pairs", "question_counts", "cosines"}: DataFrames of one synthetic experiment."""
    matrices, counts, cosines = simulate(world, np.random.default_rng(seed))
    pairs, questions = [], []
    for row, source in enumerate(matrices.sources):
        for column, persona in enumerate(matrices.personas):
            if persona == source:
                continue
            found, total = int(matrices.found[row, column]), int(matrices.total[row, column])
            for index, layer in enumerate(matrices.layers):
                facts = {"layer": layer, "source": source, "persona": persona, "category": matrices.categories[column]}
                close = {name: matrices.cosines[name][index, row, column] for name in ("cosine", "word_similarity")}
                leaks = {"rate": found / total, "found": found, "total": total, "source_rate": 0.5}
                texts = {
                    "word_similarity": 1 / (1 + np.exp(-close["word_similarity"])),
                    "prompt_tokens": int(matrices.prompt_tokens[column]),
                }
                pairs.append({**facts, "related": column % 3 == 0, "cosine": close["cosine"], **leaks, **texts})
            for question in range(world.questions):
                replies = {key: int(values[row, column, question]) for key, values in counts.items()}
                questions.append({"source": source, "persona": persona, "question": f"question {question}?", **replies})
    panel = tabulate_cosines(matrices.personas, dict(zip(matrices.layers, cosines, strict=True)))
    return {"pairs": pd.DataFrame(pairs), "question_counts": pd.DataFrame(questions), "cosines": panel}


def spread_evenly(table, counts, source):
    """(table, counts) with base rates of 0.2, in which all bystanders of ``source`` show the behaviour with the same chance.

    counts: {"found", "total"} [sources, personas, questions] on the axes of matrices_of(table).
    """
    axes, own = matrices_of(table), table["source"] == source
    total = counts["total"][axes.sources.index(source)]
    found = np.random.default_rng(0).binomial(np.nan_to_num(total).astype(int), 0.5)
    counts = {key: values.copy() for key, values in counts.items()}
    counts["found"][axes.sources.index(source)] = np.where(np.isnan(total), np.nan, found)
    table = table.assign(base_rate=0.2)
    table.loc[own, "found"] = table.loc[own, "persona"].map(dict(zip(axes.personas, found.sum(axis=-1), strict=True)))
    return table.assign(rate=table["found"] / table["total"]), counts


def save_tables(tables, folder):
    """Write them as CSV; the options of correlate_leakage that read them."""
    options = []
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False, na_rep="nan")
        options += [f"--{name.replace('_', '-')}", str(folder / f"{name}.csv")]
    return options


def read_back(tables, folder):
    """(pairs, counts per question, cosines) of tables, as the programs read them."""
    save_tables(tables, folder)
    pairs = read_pairs(folder / "pairs.csv")
    matrices = matrices_of(pairs)
    return pairs, read_question_counts(folder / "question_counts.csv", matrices), read_cosines(folder / "cosines.csv", matrices)


def checked(pairs, *side_tables, headline=0):
    """The content of correlation.json of a table, and of its counts per question and cosines, after check_strict."""
    result = analyse(pairs, headline, QUICK, *side_tables)
    check_strict(result)
    return result


def blocks_of(value, path=""):
    """(path, block) of every block that says whether it is undefined."""
    if isinstance(value, dict):
        if "undefined" in value:
            yield path, value
        for key, child in value.items():
            yield from blocks_of(child, f"{path}/{key}")


def check_strict(result):
    """No NaN anywhere; an undefined block says why in words."""
    json.dumps(result, allow_nan=False)
    for path, block in blocks_of(result):
        assert block["undefined"] is None or len(block["undefined"]) > 10, path
    for entry in result["verdict"]:
        assert entry["answer"] in ("supported", "not supported", "cannot tell", "reversed")
        assert entry["sentence"].endswith(".") and entry["because"], entry
        assert "None" not in entry["because"] and "nan" not in entry["because"], entry


def with_base(world=SMALL, base=None):
    """The synthetic pairs with base rates: ``base`` {persona: rate}, else random hundredths."""
    table = make_tables(world)["pairs"]
    names, generator = sorted(set(table["persona"])), np.random.default_rng(3)
    base = base or dict(zip(names, generator.integers(5, 60, size=len(names)) / 100, strict=True))
    return table.assign(base_rate=[base[name] for name in table["persona"]])


def entry_of(result, name):
    """An entry of the verdict."""
    return next(entry for entry in result["verdict"] if entry["id"] == name)
