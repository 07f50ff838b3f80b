"""A finished study as the arrays that predictions are calibrated on, read from a results folder or a kept copy."""

from dataclasses import dataclass

import numpy as np

from persona_leakage.behaviours.training_check import check_table, unlearned_sources
from persona_leakage.config.finished_study import analysis_folders, study_config, study_files
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json
from persona_leakage.statistics.core.pair_matrices import MIN_DIFFERENT, count_different, log_odds
from persona_leakage.tables.question_counts import read_cosine_rows
from persona_leakage.tables.read import read_pairs


@dataclass(frozen=True)
class Study:
    """K training seeds, S sources, P personas. closeness [S, P]: cosine at ``layer``; rates, odds (log-odds) [K, S, P].

    NaN for a source itself and for its negatives, which were trained without the behaviour. replies: of a persona and seed.
    problem: why no amounts can be predicted from it, or None. files: {path below the folder: SHA-256} of all that was read.
    """

    folder: str
    config: dict
    model: dict
    layer: int
    sources: list
    personas: list
    closeness: np.ndarray
    rates: np.ndarray
    odds: np.ndarray
    replies: int
    cosines: np.ndarray
    left_out: dict
    problem: str | None
    files: dict


def read_study(folder):
    """Read the Study in a folder. InputError if a file is missing, damaged or inconsistent with the others."""
    files, config = study_files(folder), study_config(folder)
    layer, folders = config["geometry"]["headline_layer"], analysis_folders(folder, config)
    tables = [read_pairs(each / "pairs.csv") for each in folders]
    tables = [table[table["layer"] == layer] for table in tables]
    if any(table.empty for table in tables):
        raise InputError(f"{folders[0]}/pairs.csv: has no layer {layer}, the headline layer of the study")
    sources = list(dict.fromkeys(tables[0]["source"]))
    personas = sorted({*tables[0]["persona"], *sources})
    unlearned = {name: reason for table in tables for name, reason in unlearned_sources(check_table(table)).items()}
    arrays = [spread(table, sources, personas, folder) for table in tables]
    kept = [index for index, name in enumerate(sources) if name not in unlearned]
    rates, found, totals = (np.stack([each[key] for each in arrays])[:, kept] for key in ("rate", "found", "total"))
    return Study(
        folder=str(folder),
        config=config,
        model=dict(read_json(folders[0] / "correlation.json")["meta"]["model"] or {}),
        layer=layer,
        sources=[sources[index] for index in kept],
        personas=personas,
        closeness=np.where(np.isnan(rates[0]), np.nan, arrays[0]["cosine"][kept]),
        rates=rates,
        odds=log_odds(found, totals),
        replies=int(np.nanmedian(totals)) if kept else 0,
        cosines=all_cosines(folders[0] / "cosines.csv", layer, personas),
        left_out=unlearned,
        problem=problem_of(tables, rates, folder),
        files=files,
    )


def spread(table, sources, personas, folder, columns=("cosine", "rate", "found", "total")):
    """{column: [S, P]} of some columns; NaN where there is no pair, and for negatives."""
    grid = {}
    used = table[~table["negative"]] if "negative" in table else table
    for column in columns:
        wide = used.pivot(index="source", columns="persona", values=column)
        if not set(wide.columns) <= set(personas):
            raise InputError(f"{folder}: the tables of its seeds have different personas; give the folder of one study")
        grid[column] = wide.reindex(index=sources, columns=personas).to_numpy(dtype=float)
    return grid


def all_cosines(path, layer, personas):
    """[P, P] at a layer, from cosines.csv; NaN where a pair is missing."""
    rows = read_cosine_rows(path)
    rows = rows[(rows["layer"] == layer) & rows["persona_a"].isin(personas) & rows["persona_b"].isin(personas)]
    place = {name: index for index, name in enumerate(personas)}
    found = np.full((len(personas), len(personas)), np.nan)
    first, second = rows["persona_a"].map(place), rows["persona_b"].map(place)
    found[first, second] = found[second, first] = rows["cosine"]
    np.fill_diagonal(found, 1.0)
    return found


def problem_of(tables, rates, folder):
    """Why amounts cannot be predicted from a study, or None."""
    if not rates.shape[1]:
        return f"no adapter of {folder} learned the behaviour"
    if any("outcome" in table for table in tables):
        return f"{folder} measures mean scores (behaviour.measure: mean), and amounts are predicted of shares of replies alone"
    if any("base_rate" in table and (table["base_rate"] > 0).any() for table in tables):
        return f"personas of {folder} show the behaviour without training, and the base rate of a new persona is unknown"
    mean = rates.mean(axis=0)
    differ = max(count_different(row[~np.isnan(row)]) for row in mean)
    if differ < MIN_DIFFERENT:
        return f"{folder} is at the floor: {differ} bystander(s) of any source differ in leakage; at least {MIN_DIFFERENT} needed"
    return None
