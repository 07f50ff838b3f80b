"""By how much did each persona change? Leakage with its interval where the behaviour has a base rate above 0."""

import numpy as np
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep

from persona_leakage.behaviours.training_check import RATE_TOLERANCE
from persona_leakage.infrastructure.undefined import finite
from persona_leakage.statistics.core.multiple_testing import holm
from persona_leakage.statistics.core.pair_matrices import DECIMALS

LEVEL = 0.05
NO_BASE_COUNT = "its base rate is no share of as many replies as with adapter"


def newcombe_interval(found, total, base_found, base_total):
    """95 % interval of found / total - base_found / base_total: [low, high], of two independent samples.

    Newcombe (1998), Statistics in Medicine 17, 873-890, method 10: the ends come from Wilson's intervals of both shares. It
    covers sampling of replies, not other questions; for those see tables.leakage_error.
    """
    ends = confint_proportions_2indep(found, total, base_found, base_total, method="newcomb", compare="diff", alpha=LEVEL)
    return [float(end) for end in ends]


def exact_mcnemar(after, before):
    """Exact test of a change in items that were answered both with and without adapter: {"n", "gained", "lost", "p"}.

    after, before: bool [items], whether the behaviour shows. Only items whose answer changed count: under no effect, ``gained`` of
    ``gained + lost`` is binomial with chance 1/2 (McNemar 1947); two-sided; p is 1 if no item changed.
    """
    after, before = (np.asarray(values, dtype=bool) for values in (after, before))
    if after.shape != before.shape or after.ndim != 1:
        raise ValueError(f"after and before are of shapes {after.shape} and {before.shape}; both must be [items]")
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    table = [[int((after & before).sum()), lost], [gained, int((~after & ~before).sum())]]
    p = float(mcnemar(table, exact=True).pvalue) if gained + lost else 1.0
    return {"n": len(after), "gained": gained, "lost": lost, "p": p}


def share_of_headroom(leakage, base):
    """Leakage as a share of the way to the end of the scale that it moves to: leakage / (1 - base) upwards, leakage / base downwards.

    leakage, base: arrays of one shape, base in [0, 1]. From -1 to 1; 0 where there is no change; NaN where base is unknown.
    """
    room = np.where(leakage > 0, 1 - base, base)
    share = np.divide(leakage, room, out=np.zeros_like(np.asarray(leakage, dtype=float)), where=room > 0)
    return np.where(np.isnan(base), np.nan, share)


def describe_change(table):
    """{source: {"mean", "risen", "fallen", "n", "personas": {persona: describe_persona with "p_holm"}}} from a pairs table.

    From the rows of one layer, for leakage is the same in all. p: Fisher's exact test, two-sided, of the replies with and without
    adapter; p_holm: corrected for the number of bystanders of the source (Holm 1979). risen, fallen: bystanders with p_holm below
    .05, by direction. mean: of leakage. Personas whose rate is missing are left out.
    """
    result = {}
    for source, rows in table.drop_duplicates(["source", "persona"]).groupby("source", sort=False):
        known = rows[rows["rate"].notna()]
        personas = {row.persona: describe_persona(row) for row in known.itertuples()}
        adjusted = holm({name: block["p"] for name, block in personas.items()})
        for name, block in personas.items():
            block["p_holm"] = adjusted[name]
        clear = [block["leakage"] for block in personas.values() if block["p_holm"] is not None and block["p_holm"] < LEVEL]
        result[source] = {
            "n": len(personas),
            "mean": finite(np.mean([block["leakage"] for block in personas.values()])) if personas else None,
            "risen": sum(value > 0 for value in clear),
            "fallen": sum(value < 0 for value in clear),
            "personas": personas,
        }
    return result


def describe_persona(row):
    """{"leakage", "base_rate", "interval", "se", "p", "undefined"} of one row of a pairs table.

    The table does not say how many replies the base rate has: as many as with adapter, which is how the workflow samples. Where no
    number of them gives base_rate, interval and p are None. se: the table's leakage_se, None without it.
    """
    block = {
        "leakage": round(float(row.rate - row.base_rate), DECIMALS),
        "base_rate": float(row.base_rate),
        "interval": None,
        "se": finite(getattr(row, "leakage_se", None)),
        "p": None,
        "undefined": NO_BASE_COUNT,
    }
    base_found = round(row.base_rate * row.total)
    if abs(base_found / row.total - row.base_rate) > RATE_TOLERANCE:
        return block
    counts = [[row.found, row.total - row.found], [base_found, row.total - base_found]]
    return {
        **block,
        "interval": newcombe_interval(row.found, row.total, base_found, row.total),
        "p": float(stats.fisher_exact(counts).pvalue),
        "undefined": None,
    }
