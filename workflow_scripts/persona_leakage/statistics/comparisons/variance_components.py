"""Variance components and intraclass correlations of a two-way table: do repeated measurements agree?"""

import numpy as np
from scipy import stats

from persona_leakage.infrastructure.intervals import LEVEL, jackknife_error, plain_interval
from persona_leakage.infrastructure.undefined import undefined

PART_KEYS = ("things", "level", "rest")
AGREEMENT_KEYS = ("agreement", "agreement_interval")


def mean_squares(values):
    """(of the rows, of the columns, of what is left) of a table [things, repetitions] with one value in a cell."""
    things, repetitions = values.shape
    rows, columns = values.mean(axis=1), values.mean(axis=0)
    left = values - rows[:, None] - columns + values.mean()
    return (
        float(repetitions * rows.var(ddof=1)),
        float(things * columns.var(ddof=1)),
        float((left**2).sum() / ((things - 1) * (repetitions - 1))),
    )


def two_way_parts(values):
    """Variances behind a table [things, repetitions], both random (moments; a negative one counts as 0).

    things: between the things; level: between the repetitions as wholes; rest: of a thing from one repetition to
    another beyond that, measurement noise included.
    """
    things, repetitions = values.shape
    of_rows, of_columns, rest = mean_squares(values)
    parts = (of_rows - rest) / repetitions, (of_columns - rest) / things, rest
    return dict(zip(PART_KEYS, (max(0.0, part) for part in parts), strict=True))


def intraclass(values):
    """ICC(A,1), the agreement of single measurements, with its 95 % interval: values [things, repetitions] (McGraw & Wong 1996).

    How well one repetition predicts the values of another. The interval takes values for normal. Undefined if the things do not differ;
    without an interval where repetitions are all alike. pingouin.intraclass_corr rounds the interval to two decimals.
    """
    things, repetitions = values.shape
    if repetitions < 2 or things < 3:
        return undefined(f"{things} things measured {repetitions} times; at least 3 and 2 needed", *AGREEMENT_KEYS)
    of_rows, of_columns, rest = mean_squares(values)
    if of_rows < 1e-12:
        return undefined("all have the same mean", *AGREEMENT_KEYS)
    shift = repetitions * (of_columns - rest) / things
    agreement = (of_rows - rest) / (of_rows + (repetitions - 1) * rest + shift)
    interval = agreement_interval(agreement, values.shape, of_rows, of_columns, rest)
    return {"agreement": agreement, "agreement_interval": interval, "undefined": None}


def agreement_interval(estimate, shape, of_rows, of_columns, rest):
    """Degrees of freedom by Satterthwaite; None if the repetitions are alike."""
    things, repetitions = shape
    if rest < 1e-12 or estimate > 1 - 1e-12:
        return None
    slope = repetitions * max(0.0, estimate) / (things * (1 - estimate))  # below 0 the two parts could cancel out
    columns, left = slope * of_columns, (1 + slope * (things - 1)) * rest
    freedom = (columns + left) ** 2 / (columns**2 / (repetitions - 1) + left**2 / ((things - 1) * (repetitions - 1)))
    noise = repetitions * of_columns + (repetitions * things - repetitions - things) * rest
    low, high = (float(stats.f.ppf((1 + LEVEL) / 2, *pair)) for pair in ((things - 1, freedom), (freedom, things - 1)))
    return [
        things * (of_rows - low * rest) / (low * noise + things * of_rows),
        things * (high * of_rows - rest) / (noise + things * high * of_rows),
    ]


PARTS = ("role", "paraphrase", "role_and_paraphrase", "noise")
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


def two_way_components(values, roles, paraphrases, noise):
    """Variance components of values [series, n] by moments (Henderson 1953, method 3): [series, 4] in the order of PARTS.

    value = series mean + role + paraphrase + the two together + noise, all random; the design may have holes. noise [series]:
    the known variance of measuring a value, taken out of what neither role nor paraphrase explains. Negative moments count
    as 0. None if the design cannot tell the parts apart.
    """
    role, paraphrase, size = indicators(roles), indicators(paraphrases), len(roles)
    of_role, of_paraphrase = means_within(role), means_within(paraphrase)
    both = of_role + hat(paraphrase - of_role @ paraphrase)
    added = {"role": (role, both - of_paraphrase), "paraphrase": (paraphrase, both - of_role)}
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


def shares_of(values, roles, paraphrases, noise):
    """Components as shares of their sum, and their mean over the series as the last row: [series + 1, 4]; None as two_way_components.

    NaN for a series whose components are all 0, and then for the mean.
    """
    parts = two_way_components(values, roles, paraphrases, noise)
    if parts is None:
        return None
    parts[parts.sum(axis=1) == 0] = np.nan
    shares = parts / parts.sum(axis=1, keepdims=True)
    return np.vstack([shares, shares.mean(axis=0)])


def describe_parts(values, names, roles, paraphrases, noise=None):
    """{"per_series": {name: block}, "mean": block, "undefined"}: the shares with their jackknife intervals over roles.

    values [series, n]: one for each of ``names``; roles, paraphrases [n]; noise [series] or None (then it is part of
    role_and_paraphrase, and its own share is None).
    """
    known = noise is not None
    noise = noise if known else np.zeros(len(values))
    whole = shares_of(values, roles, paraphrases, noise)
    if whole is None or np.isnan(whole).any():
        reason = (
            "role and paraphrase cannot be told apart: roles need several paraphrases, paraphrases several roles, and values must differ"
        )
        return {"per_series": {}, "mean": undefined(reason, *KEYS), "undefined": reason}
    drawn = [shares_of(values[:, kept], roles[kept], paraphrases[kept], noise) for role in np.unique(roles) for kept in [roles != role]]
    # If all variation comes from one role, nothing varies without it. The error is then unknown, not small.
    drawn = np.stack([np.full_like(whole, np.nan) if shares is None else shares for shares in drawn])
    errors = np.array([[jackknife_error(drawn[:, row, part]) for part in range(4)] for row in range(len(whole))])
    freedom = len(drawn) - 1
    blocks = []
    for row, shares in enumerate(whole):
        spread = float(values[row].std()) if row < len(values) else None
        intervals = {name: clipped(shares[index], errors[row, index], freedom) for index, name in enumerate(PARTS)}
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
