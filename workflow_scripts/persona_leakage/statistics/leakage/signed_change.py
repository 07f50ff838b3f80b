"""By how much did each persona change? Leakage with its interval where the behaviour has a base rate above 0."""

from functools import partial

import numpy as np
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep

from persona_leakage.behaviours.training_check import RATE_TOLERANCE
from persona_leakage.infrastructure.intervals import plain_interval, wilson_interval
from persona_leakage.infrastructure.undefined import finite
from persona_leakage.statistics.core.multiple_testing import holm
from persona_leakage.statistics.core.pair_matrices import DECIMALS
from persona_leakage.statistics.leakage.correlations import leakage_of

LEVEL = 0.05
FISHER, MCNEMAR, OVER_QUESTIONS = "Fisher's exact test", "exact McNemar test", "t test over questions"
NO_BASE_COUNT = "its base rate is no share of as many replies as with adapter"
NO_ERROR = "no standard error: fewer than 5 questions, or too few scored replies"


def newcombe_interval(found, total, base_found, base_total):
    """95 % interval of found / total - base_found / base_total, of two independent samples: arrays [...] -> [..., 2].

    Newcombe (1998), Statistics in Medicine 17, 873-890, method 10: the ends come from Wilson's intervals of both shares. It
    covers sampling of replies, not other questions; for those see errors_of in tables/build.py.
    """
    counts = (np.asarray(values) for values in (found, total, base_found, base_total))
    return np.stack(confint_proportions_2indep(*counts, method="newcomb", compare="diff", alpha=LEVEL), axis=-1)


def fisher_p(found, base_found, total):
    """Fisher's exact test, two-sided, of found against base_found of ``total`` replies each: arrays [n] -> p [n].

    Sum of the chances of all tables with these margins that are no likelier than the one found; as scipy.stats.fisher_exact.
    """
    found, base_found, total = (np.asarray(values)[:, None] for values in (found, base_found, total))
    chances = stats.hypergeom.pmf(np.arange(total.max() + 1), 2 * total, found + base_found, total)
    own = np.take_along_axis(chances, found, axis=1)
    return np.minimum(1.0, np.where(chances <= own * (1 + 1e-7), chances, 0).sum(axis=1))


def exact_mcnemar(total, shown, began, both):
    """Exact test of a change in ``total`` items that are answered in two states: {"gained", "lost", "p"}.

    shown, began: items that show the behaviour after and before; both: in both. Only items whose answer changed count: under no
    effect, ``gained`` of ``gained + lost`` is binomial with chance 1/2 (McNemar 1947); two-sided; p is 1 if no item changed.
    """
    gained, lost = shown - both, began - both
    table = [[both, lost], [gained, total - both - gained - lost]]
    p = float(mcnemar(table, exact=True).pvalue) if gained + lost else 1.0
    return {"gained": gained, "lost": lost, "p": p}


def share_of_headroom(leakage, base):
    """Leakage as a share of the way to the end of the scale that it moves to: leakage / (1 - base) upwards, leakage / base downwards.

    leakage, base: arrays of one shape, base in [0, 1]. From -1 to 1; 0 where there is no change; NaN where base is unknown.
    """
    room = np.where(leakage > 0, 1 - base, base)
    share = np.divide(leakage, room, out=np.zeros_like(np.asarray(leakage, dtype=float)), where=room > 0)
    return np.where(np.isnan(base), np.nan, share)


def paired_interval(total, shown, began, both):
    """95 % interval of (shown - began) / total, of the same items (see exact_mcnemar): [low, high].

    Newcombe (1998), Statistics in Medicine 17, 2635-2650, method 10: Wilson's intervals of both shares, joined with the correlation of
    the answers, which a continuity correction makes smaller.
    """
    surplus = total * both - shown * began  # shown twice times never shown, minus gained times lost
    margins = (shown * (total - shown) * began * (total - began)) ** 0.5
    phi = (max(surplus - total / 2, 0) if surplus > 0 else surplus) / margins if margins else 0.0
    ends = [np.subtract(wilson_interval(count, total), count / total) for count in (shown, began)]
    (down, up), (began_down, began_up) = np.abs(ends)
    change = (shown - began) / total
    low = change - (down**2 - 2 * phi * down * began_up + began_up**2) ** 0.5
    return [float(low), float(change + (up**2 - 2 * phi * up * began_down + began_down**2) ** 0.5)]


def change_interval(total, shown, began, both=None):
    """paired_interval of the same items, or newcombe_interval of independent replies (both None): [low, high]."""
    return newcombe_interval(shown, total, began, total).tolist() if both is None else paired_interval(total, shown, began, both)


def describe_change(table, both="base_both"):
    """{source: {"n", "mean", "risen", "fallen", "test", "personas": {persona: block}}} from a pairs table.

    Leakage is the same in all layers, so the rows of one layer are used. mean: of leakage. risen, fallen: bystanders with p_holm
    below .05, by direction. A persona's block: {"leakage", "base_rate", "se": the table's leakage_se or None, "interval", "p",
    "p_holm": corrected for the number of bystanders of the source (Holm 1979), "undefined"}. Personas without a rate are left out.

    With the column ``both`` (tables.build.add_pairings) the items are the same with and without adapter: exact_mcnemar with "gained"
    and "lost", and paired_interval. Otherwise fisher_p and newcombe_interval of independent replies. The table lacks the number of
    replies of the base rate, so it is taken to be that with adapter, as the workflow samples. If base_rate is not a share of that
    number, interval and p are None.

    In a table of mean scores, "base_outcome" replaces base_rate, and interval and p are Student's t with leakage_se, the bootstrap error
    over questions.
    """
    test = OVER_QUESTIONS if "outcome" in table else MCNEMAR if both in table else FISHER
    run = {OVER_QUESTIONS: question_tests, MCNEMAR: partial(paired_tests, both=both), FISHER: independent_tests}[test]
    result = {}
    for source, rows in table.drop_duplicates(["source", "persona"]).groupby("source", sort=False):
        known = rows[leakage_of(rows).notna()]
        result[source] = {**describe_source(known, run(known)), "test": test}
    return result


def question_tests(rows):
    """The part of each persona's block that describe_change adds for a mean score; None without a standard error."""
    tests = []
    for row in rows.itertuples():
        interval = plain_interval(row.leakage, row.leakage_se, max(row.questions - 1, 1))
        p = 2 * stats.t.sf(abs(row.leakage) / row.leakage_se, row.questions - 1) if row.leakage_se else float(row.leakage == 0)
        tests.append(interval and {"interval": interval, "p": float(p)})
    return tests


def paired_tests(rows, both):
    """The part of each persona's block that describe_change adds for the same items; both: the column that counts those shown twice."""
    began = np.rint(rows["base_rate"] * rows["total"]).astype(int)
    counts = zip(*(values.tolist() for values in (rows["total"], rows["found"], began, rows[both])), strict=True)
    return [{"interval": paired_interval(*each), **exact_mcnemar(*each)} for each in counts]


def independent_tests(rows):
    """The part of each persona's block that describe_change adds for independent replies; None where the base rate has no count."""
    if rows.empty:
        return []
    total = rows["total"].to_numpy()
    base_found = np.rint(rows["base_rate"].to_numpy() * total).astype(int)
    whole = np.abs(base_found / total - rows["base_rate"].to_numpy()) <= RATE_TOLERANCE
    intervals = newcombe_interval(rows["found"].to_numpy(), total, base_found, total).tolist()
    p_values = fisher_p(rows["found"].to_numpy(), base_found, total).tolist()
    return [{"interval": ends, "p": p} if known else None for ends, p, known in zip(intervals, p_values, whole, strict=True)]


def describe_source(rows, tests):
    """The block of describe_change of one source, from its rows and their tests."""
    adjusted = holm({place: test["p"] for place, test in enumerate(tests) if test})
    personas, base = {}, "base_outcome" if "outcome" in rows else "base_rate"
    for row, leakage, (place, test) in zip(rows.itertuples(), leakage_of(rows), enumerate(tests), strict=True):
        personas[row.persona] = {
            "leakage": round(float(leakage), DECIMALS),
            base: float(getattr(row, base)),
            "se": finite(getattr(row, "leakage_se", None)),
            **(test or {"interval": None, "p": None}),
            "p_holm": adjusted.get(place),
            "undefined": None if test else NO_ERROR if "outcome" in rows else NO_BASE_COUNT,
        }
    clear = [block["leakage"] for block in personas.values() if block["p_holm"] is not None and block["p_holm"] < LEVEL]
    return {
        "n": len(personas),
        "mean": float(np.mean([block["leakage"] for block in personas.values()])) if personas else None,
        "risen": sum(value > 0 for value in clear),
        "fallen": sum(value < 0 for value in clear),
        "personas": personas,
    }
