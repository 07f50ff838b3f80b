"""Leakage against control adapters: on clean rows (what any training changes) or shuffled rows (a behaviour of no persona)."""

from typing import get_args

import numpy as np

from persona_leakage.config.blocks.training_data import Control
from persona_leakage.infrastructure.undefined import undefined
from persona_leakage.statistics.core.pair_matrices import DECIMALS
from persona_leakage.statistics.leakage.claims import interval_text, number
from persona_leakage.statistics.leakage.correlations import correlate
from persona_leakage.statistics.leakage.signed_change import change_interval, describe_change

KEYS = ("spearman_rho", "spearman_p")


def describe_controls(table, layer, even):
    """{control: {source: {"adapter", "control", "leakage_beyond_{control}", "sentence"}}} from a pairs table; {} without controls.

    adapter: the change from the base model; control: that of the control; leakage_beyond_{control}: from the control to the
    adapter. Each is a block of :func:`compare`, with the cosines of ``layer``. even: {source: why it has no correlations}.
    """
    rows, result = table[table["layer"] == layer], {}
    for control in get_args(Control):
        needed = {"base_rate", "source_rate", "source_base_rate", "source_total", f"{control}_rate", f"source_{control}_rate"}
        if needed <= {*table}:
            groups = rows[rows["rate"].notna()].groupby("source", sort=False)
            result[control] = {source: describe_control(group, source, control, even.get(source)) for source, group in groups}
    return result


def describe_control(rows, source, control, problem):
    """The block of one control and source, see describe_controls."""
    adapter = compare(rows, "rate", "base_rate", "base_both", problem)
    other = compare(rows, f"{control}_rate", "base_rate", f"{control}_base_both", problem)
    beyond = compare(rows, "rate", f"{control}_rate", f"{control}_both", problem)
    sentence = f"The change of {source}'s own rate {excludes(adapter)} with its adapter and {excludes(other)} with the {control} control;"
    sentence += f" the difference of the two {excludes(beyond)}."
    return {"adapter": adapter, "control": other, f"leakage_beyond_{control}": beyond, "sentence": sentence}


def compare(rows, after, before, both, problem):
    """The change between two columns of rates, of a source's bystanders and of itself.

    "source_change" and "source_interval" (change_interval): of its own rate; None if it has no usable reply in one of the two states.
    "n", "mean", "risen", "fallen", "test": of the bystanders, see describe_change. "spearman_rho", "spearman_p": of cosine and change,
    or why not ("undefined"). With the column ``both`` the items are the same in both states, and interval and test are paired; else
    replies are independent samples.
    """
    total = int(rows["source_total"].iloc[0])
    own = [float(rows[f"source_{column}"].iloc[0]) for column in (after, before)]
    known = bool(np.isfinite(own).all())
    found = np.rint(rows[after] * rows["total"]).astype(int)
    change = describe_change(rows.assign(rate=rows[after], found=found, base_rate=rows[before]), both)[rows["source"].iloc[0]]
    shown_twice = int(rows[f"source_{both}"].iloc[0]) if both in rows else None
    rho = undefined(problem, *KEYS) if problem else correlate(rows["cosine"], (rows[after] - rows[before]).round(DECIMALS))
    return {
        "source_change": round(own[0] - own[1], DECIMALS) if known else None,
        "source_interval": change_interval(total, *(round(rate * total) for rate in own), shown_twice) if known else None,
        **{key: change[key] for key in ("n", "mean", "risen", "fallen", "test")},
        **{key: rho[key] for key in (*KEYS, "undefined")},
    }


def excludes(block):
    """ "is above zero (0.55, 95 % interval 0.38 to 0.68)"."""
    if block["source_interval"] is None:
        return "is unknown (no usable reply)"
    low, high = block["source_interval"]
    words = "is above zero" if low > 0 else "is below zero" if high < 0 else "does not exclude zero"
    return f"{words} ({number(block['source_change'])}, 95 % interval {interval_text(block['source_interval'])})"
