"""Adjustment of p-values for the number of tests."""

from statsmodels.stats.multitest import multipletests


def holm(p_values):
    """{name: p} adjusted by Holm's step-down method (1979); None stays None and does not count."""
    known = {name: p for name, p in p_values.items() if p is not None}
    adjusted = multipletests(list(known.values()), method="holm")[1].tolist() if known else []
    return {**p_values, **dict(zip(known, adjusted, strict=True))}
