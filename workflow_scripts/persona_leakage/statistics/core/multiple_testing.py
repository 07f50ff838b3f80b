"""Adjustment of p-values for the number of tests."""

import numpy as np


def holm(p_values):
    """{name: p} adjusted by Holm's step-down method (1979); None stays None and does not count.

    Equal to statsmodels' multipletests, whose garbage collection at each call would take longer than the rest of an analysis.
    """
    known = {name: p for name, p in p_values.items() if p is not None}
    values = np.array([*known.values()], dtype=float)
    order = np.argsort(values)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)))
    return {**p_values, **dict(zip(known, adjusted.tolist(), strict=True))}
