"""Numbers that cannot be computed: null with a reason, never NaN."""

import math

import numpy as np


def undefined(reason, *keys):
    """A result block in which every key is None and "undefined" has the reason."""
    return {**dict.fromkeys(keys), "undefined": reason}


def describe_missing(name, values):
    """ "rate is missing in 2 of 110 pairs", or None if no value is NaN."""
    missing = int(np.isnan(values).sum())
    return f"{name} is missing in {missing} of {np.size(values)} pairs" if missing else None


def finite(value):
    """A float for JSON: None instead of NaN or an infinity."""
    return float(value) if value is not None and math.isfinite(value) else None
