"""How much of the spread of a value over personas is their role, their wording, the two together, and noise."""

import numpy as np

from persona_leakage.intervals import jackknife_error, plain_interval
from persona_leakage.undefined import undefined

PARTS = ("role", "wording", "role_and_wording", "noise")
KEYS = ("shares", "intervals", "sd", "n")


def indicators(labels):
    """[n, number of labels]: which of the labels each entry has."""
    return (labels[:, None] == np.unique(labels)).astype(float)


def means_within(labels):
    """Projection of values on the means of each of ``labels`` (see indicators): [n, n]."""
    return (labels / labels.sum(axis=0)) @ labels.T


def hat(design):
    """Projection on the columns of ``design`` [n, k], which may depend on each other: [n, n]."""
    return design @ np.linalg.pinv(design)


def two_way_components(values, roles, wordings, noise):
    """Variance components of values [series, n] by moments (Henderson 1953, method 3): [series, 4] in the order of PARTS.

    value = series mean + role + wording + the two together + noise, all random; the design may have holes. noise [series]:
    the known variance of measuring a value, taken out of what neither role nor wording explains. Negative moments count
    as 0. None if the design cannot tell the parts apart.
    """
    role, wording, size = indicators(roles), indicators(wordings), len(roles)
    of_role, of_wording = means_within(role), means_within(wording)
    both = of_role + hat(wording - of_role @ wording)
    added = {"role": (role, both - of_wording), "wording": (wording, both - of_role)}
    freedom = {name: np.trace(projection) for name, (_, projection) in added.items()}
    freedom["rest"] = size - np.trace(both)
    if min(freedom.values()) < 0.5:
        return None
    rest = (values * (values - values @ both)).sum(axis=1) / freedom["rest"]
    parts = []
    for name, (labels, projection) in added.items():
        squares = (values * (values @ projection)).sum(axis=1)
        parts.append((squares - freedom[name] * rest) / np.trace(labels.T @ projection @ labels))
    return np.maximum(0.0, np.stack([*parts, rest - noise, np.minimum(noise, rest)], axis=1))


def shares_of(values, roles, wordings, noise):
    """Components as shares of their sum, and their mean over the series as the last row: [series + 1, 4]; None as two_way_components.

    NaN for a series of which nothing is left, and then for the mean.
    """
    parts = two_way_components(values, roles, wordings, noise)
    if parts is None:
        return None
    parts[parts.sum(axis=1) == 0] = np.nan
    shares = parts / parts.sum(axis=1, keepdims=True)
    return np.vstack([shares, shares.mean(axis=0)])


def describe_parts(values, names, roles, wordings, noise=None):
    """{"per_series": {name: block}, "mean": block, "undefined"}: the shares with their jackknife intervals over roles.

    values [series, n]: one for each of ``names``; roles, wordings [n]; noise [series] or None (then it stands in
    role_and_wording, and its own share is None).
    """
    known = noise is not None
    noise = noise if known else np.zeros(len(values))
    whole = shares_of(values, roles, wordings, noise)
    if whole is None or np.isnan(whole).any():
        reason = "role and wording cannot be told apart: roles need several wordings, wordings several roles, and values must differ"
        return {"per_series": {}, "mean": undefined(reason, *KEYS), "undefined": reason}
    drawn = [shares_of(values[:, kept], roles[kept], wordings[kept], noise) for role in np.unique(roles) for kept in [roles != role]]
    # Where the values hang on one role, they leave nothing without it: then the error is unknown, not small.
    drawn = np.stack([np.full_like(whole, np.nan) if shares is None else shares for shares in drawn])
    errors = np.array([[jackknife_error(drawn[:, row, part]) for part in range(4)] for row in range(len(whole))])
    freedom = len(drawn) - 1
    blocks = []
    for row, shares in enumerate(whole):
        spread = float(values[row].std()) if row < len(values) else None
        intervals = {name: clipped(shares[place], errors[row, place], freedom) for place, name in enumerate(PARTS)}
        block = {
            "shares": dict(zip(PARTS, shares.tolist(), strict=True)),
            "intervals": intervals,
            "sd": spread,
            "n": len(roles),
            "undefined": None,
        }
        if not known:
            block["shares"]["noise"] = block["intervals"]["noise"] = None
        blocks.append(block)
    return {"per_series": dict(zip(names, blocks[:-1], strict=True)), "mean": blocks[-1], "undefined": None}


def clipped(share, error, freedom):
    """95 % interval of a share, within 0 and 1; None if the error is unknown."""
    interval = plain_interval(float(share), error, freedom) if freedom > 0 and np.isfinite(error) else None
    return [max(0.0, interval[0]), min(1.0, interval[1])] if interval else None
