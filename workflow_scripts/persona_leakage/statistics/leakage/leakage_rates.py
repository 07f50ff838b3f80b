"""Measured leakage: an interval for each cell, means by category, exact zeros, and bystanders above their source."""

import scipy  # loads scipy.stats on first use: a figure needs a name alone

from persona_leakage.infrastructure.intervals import plain_interval, wilson_interval
from persona_leakage.infrastructure.undefined import finite
from persona_leakage.statistics.core.multiple_testing import holm

LEVEL = 0.05
MIN_PERSONAS = 5  # a category needs for an interval of its mean


def summarise_rates(table):
    """{source: {"source_rate", "n", "zeros", "bystanders_above_source", "bystanders_clearly_above", "no_comparison", ...}}.

    From the rows of one layer; leakage is the same in all layers. bystanders_above_source counts higher rates,
    bystanders_clearly_above those that chance does not explain; both are None, and no_comparison says why, where the
    table does not have the source's own rate or a bystander's is missing. Also "categories": {name: describe_category},
    and "cells": {persona: {"rate", "found", "total", "interval"}}, in a table of mean scores with "outcome".
    """
    result = {}
    pairs = table.drop_duplicates(["source", "persona"])
    for source, rows in pairs.groupby("source", sort=False):
        known = rows[rows["rate"].notna()]
        source_rate = float(rows["source_rate"].iloc[0]) if "source_rate" in rows else None
        problem = "the table has no rate of the source itself" if source_rate is None else "a bystander's rate is missing"
        problem = problem if source_rate is None or len(known) < len(rows) else None
        result[source] = {
            "source_rate": source_rate,
            "n": len(rows),
            "zeros": int((known["found"] == 0).sum()),
            "bystanders_above_source": None if problem else int((known["rate"] > source_rate).sum()),
            "bystanders_clearly_above": None if problem else count_clearly_above(known, source_rate),
            "no_comparison": problem,
            "categories": {name: describe_category(members) for name, members in known.groupby("category", sort=True)},
            "cells": {
                row.persona: {
                    "rate": float(row.rate),
                    "found": int(row.found),
                    "total": int(row.total),
                    "interval": wilson_interval(row.found, row.total),
                    **({"outcome": finite(row.outcome)} if "outcome" in rows else {}),
                }
                for row in known.itertuples()
            },
        }
    return result


def describe_category(rows):
    """{"personas": their names, "mean": of their rates, "interval"} of a category's bystanders under one source.

    The 95 % interval is Student's t over the personas, limited to [0, 1]; None for fewer than MIN_PERSONAS.
    """
    mean, interval = float(rows["rate"].mean()), None
    if len(rows) >= MIN_PERSONAS:
        low, high = plain_interval(mean, float(scipy.stats.sem(rows["rate"])), len(rows) - 1)
        interval = [max(0.0, low), min(1.0, high)]
    return {"personas": rows["persona"].tolist(), "mean": mean, "interval": interval}


def count_clearly_above(rows, source_rate):
    """Bystanders above the source by Fisher's exact test, one-sided, after Holm's correction over the bystanders.

    The source counts with as many replies as the bystander has, which is how the workflow samples.
    """
    p_values = {}
    for row in rows.itertuples():
        source_found = round(source_rate * row.total)
        table = [[row.found, row.total - row.found], [source_found, row.total - source_found]]
        p_values[row.persona] = float(scipy.stats.fisher_exact(table, alternative="greater").pvalue)
    return sum(p < LEVEL for p in holm(p_values).values())
