"""Leakage along training, and recipes at equal strength of the source.

Leakage is the gain in the log-probability of the trained text over the base model (nats); the strength of a source is its own gain.
"""

import numpy as np
import pandas as pd
from scipy import stats

from persona_leakage.infrastructure.intervals import interval_over, plain_interval
from persona_leakage.infrastructure.undefined import finite
from persona_leakage.statistics.core.multiple_testing import holm
from persona_leakage.statistics.leakage.correlations import correlate


def describe_step(rows, cells, source):
    """Own gain, mean gain of the bystanders, and its correlation with the cosine after one step.

    rows: pairs of a source at the headline layer, with a cosine and perhaps a mark ``negative``, whose personas are left out;
    cells: {persona: {"end_gain", ...}} of teacher_forced.json. None where it is undefined.
    """
    used = rows[~rows["negative"]] if "negative" in rows else rows
    gains = np.array([np.nan if cells[name]["end_gain"] is None else cells[name]["end_gain"] for name in used["persona"]], dtype=float)
    known = ~np.isnan(gains)
    own = cells[source]["end_gain"]
    mean = finite(gains[known].mean()) if known.any() else None
    found = correlate(used["cosine"].to_numpy()[known], gains[known])
    share = mean / own if mean is not None and own else None
    return {"own_gain": own, "mean_gain": mean, "share": share, "rho": found["spearman_rho"], "bystanders": int(known.sum())}


def at_strength(table, strength):
    """{"mean_gain", "share", "rho"} of one source at an own gain, linear between the steps around it; NaN beyond the last.

    table: its rows in the order of the steps. Training begins with no gain; rho is undefined there, so before the first step it is
    that of the first step.
    """
    own = np.concatenate([[0.0], table["own_gain"].to_numpy(dtype=float)])
    reached = np.flatnonzero(own >= strength)
    if not len(reached):
        return dict.fromkeys(("mean_gain", "share", "rho"), np.nan)
    after = max(1, int(reached[0]))
    weight = (strength - own[after - 1]) / (own[after] - own[after - 1])
    rhos = table["rho"].to_numpy(dtype=float)
    mean = np.interp(weight, [0, 1], [table["mean_gain"].iloc[after - 2] if after > 1 else 0.0, table["mean_gain"].iloc[after - 1]])
    rho = rhos[0] if after == 1 else float(np.interp(weight, [0, 1], rhos[after - 2 : after]))
    return {"mean_gain": float(mean), "share": float(mean / strength), "rho": rho}


def compare_recipes(tables):
    """Recipes at the highest own gain that a source reaches with all of them, and at half of it.

    tables: {recipe: rows of along_training.csv}; the first is the one that others are compared with, over the sources that all have.
    Returns {"table": DataFrame, "rho_at_half": {recipe: {"mean", "interval"}}, "last_less_first": {recipe: share's change with its
    interval}, "differences": {recipe: mean gain minus the first recipe's, with interval, p and p_holm}}; intervals of 95 % over
    sources (Student's t; of rho on Fisher's z).
    """
    grouped = {recipe: dict(iter(table.groupby("source", sort=False))) for recipe, table in tables.items()}
    sources = [name for name in next(iter(grouped.values())) if all(name in each for each in grouped.values())]
    rows = []
    for source in sources:
        strength = min(each[source]["own_gain"].max() for each in grouped.values())
        for part in (1.0, 0.5):
            for recipe, each in grouped.items():
                facts = {"source": source, "recipe": recipe, "of_common_gain": part, "own_gain": part * strength}
                rows.append({**facts, **at_strength(each[source], part * strength)})
    table = pd.DataFrame(rows)
    wide = {
        (name, part): table[table["of_common_gain"] == part].pivot(index="source", columns="recipe", values=name).loc[sources]
        for name, part in (("rho", 0.5), ("mean_gain", 1.0))
    }
    changes = {recipe: [each[name]["share"].iloc[-1] - each[name]["share"].iloc[0] for name in sources] for recipe, each in grouped.items()}
    first, *others = grouped
    gains = wide["mean_gain", 1.0]
    differences = {recipe: mean_over((gains[recipe] - gains[first]).to_numpy()) for recipe in others}
    corrected = holm({recipe: block["p"] for recipe, block in differences.items()})
    halves = {recipe: wide["rho", 0.5][recipe].to_numpy() for recipe in grouped}
    return {
        "table": table,
        "rho_at_half": {recipe: {"mean": finite(rhos.mean()), "interval": interval_over(rhos)} for recipe, rhos in halves.items()},
        "last_less_first": {recipe: mean_over(np.array(values)) for recipe, values in changes.items()},
        "differences": {recipe: {**block, "p_holm": corrected[recipe]} for recipe, block in differences.items()},
    }


def mean_over(values):
    """{"mean", "interval", "p"} of the differences of sources [S]: Student's t; None where a value is missing or there is one source."""
    if len(values) < 2 or not np.isfinite(values).all():
        return {"mean": finite(values.mean()), "interval": None, "p": None}
    error = float(values.std(ddof=1) / np.sqrt(len(values)))
    p = float(stats.ttest_1samp(values, 0).pvalue) if error > 0 else None
    return {"mean": float(values.mean()), "interval": plain_interval(float(values.mean()), error, len(values) - 1), "p": p}
