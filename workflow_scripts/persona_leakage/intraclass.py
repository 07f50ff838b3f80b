"""Do repeated measurements of the same things agree? Variance parts and intraclass correlations of a two-way table."""

from scipy import stats

from persona_leakage.intervals import LEVEL
from persona_leakage.undefined import undefined

PART_KEYS = ("things", "level", "rest")
AGREEMENT_KEYS = ("agreement", "agreement_interval", "consistency", "consistency_interval")


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
    """Intraclass correlations of single measurements with 95 % intervals: values [things, repetitions] (McGraw & Wong 1996).

    agreement, ICC(A,1): how far one repetition tells the values of another; consistency, ICC(C,1): the same when a
    shift of all values together does not count. The intervals take values for normal. Undefined if the things do not
    differ; without an interval where repetitions are all alike.
    """
    things, repetitions = values.shape
    if repetitions < 2 or things < 3:
        return undefined(f"{things} things measured {repetitions} times; at least 3 and 2 needed", *AGREEMENT_KEYS)
    of_rows, of_columns, rest = mean_squares(values)
    if of_rows < 1e-12:
        return undefined("all have the same mean", *AGREEMENT_KEYS)
    shift = repetitions * (of_columns - rest) / things
    agreement = (of_rows - rest) / (of_rows + (repetitions - 1) * rest + shift)
    consistency = (of_rows - rest) / (of_rows + (repetitions - 1) * rest)
    return {
        "agreement": agreement,
        "agreement_interval": agreement_interval(agreement, values.shape, of_rows, of_columns, rest),
        "consistency": consistency,
        "consistency_interval": consistency_interval(values.shape, of_rows, rest),
        "undefined": None,
    }


def upper_f(first, second):
    """The point of the F distribution that bounds a 95 % interval on one side."""
    return float(stats.f.ppf((1 + LEVEL) / 2, first, second))


def consistency_interval(shape, of_rows, rest):
    """Exact for normal values; None if nothing is left beside rows and columns."""
    things, repetitions = shape
    if rest < 1e-12:
        return None
    freedom = things - 1, (things - 1) * (repetitions - 1)
    ratios = of_rows / rest / upper_f(*freedom), of_rows / rest * upper_f(*reversed(freedom))
    return [(ratio - 1) / (ratio + repetitions - 1) for ratio in ratios]


def agreement_interval(estimate, shape, of_rows, of_columns, rest):
    """Degrees of freedom by Satterthwaite; None if the repetitions are alike."""
    things, repetitions = shape
    if rest < 1e-12 or estimate > 1 - 1e-12:
        return None
    slope = repetitions * max(0.0, estimate) / (things * (1 - estimate))  # below 0 the two parts could cancel out
    columns, left = slope * of_columns, (1 + slope * (things - 1)) * rest
    freedom = (columns + left) ** 2 / (columns**2 / (repetitions - 1) + left**2 / ((things - 1) * (repetitions - 1)))
    noise = repetitions * of_columns + (repetitions * things - repetitions - things) * rest
    low, high = upper_f(things - 1, freedom), upper_f(freedom, things - 1)
    return [
        things * (of_rows - low * rest) / (low * noise + things * of_rows),
        things * (high * of_rows - rest) / (noise + things * high * of_rows),
    ]
