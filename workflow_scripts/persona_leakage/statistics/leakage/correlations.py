"""Rank and linear correlations of cosine with leakage: per source, pooled, per category, among relatives."""

import numpy as np
import scipy  # loads scipy.stats on first use: the report and the closing table need names alone

from persona_leakage.behaviours.training_check import NONE_LEARNED
from persona_leakage.infrastructure.intervals import correlation_interval
from persona_leakage.infrastructure.undefined import describe_missing, finite
from persona_leakage.statistics.core.pair_matrices import DECIMALS

MIN_PAIRS = 3


KEYS = ("spearman_rho", "spearman_p", "kendall_tau", "kendall_p", "pearson_r", "pearson_p")


def correlate(x, y):
    """Spearman, Kendall (tau-b) and Pearson correlation of two equally long vectors, with two-sided p-values.

    Spearman: ties take mean ranks, p from Student's t with n - 2 degrees of freedom (scipy.stats.spearmanr); tau-b
    corrects for ties (scipy.stats.kendalltau). Returns {"n", KEYS, "undefined"}; with fewer than 3 pairs, a
    missing value or a constant vector the numbers are None and "undefined" says why.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    problem = why_undefined(x, y)
    if problem:
        return {"n": len(x), **dict.fromkeys(KEYS), "undefined": problem}
    results = scipy.stats.spearmanr(x, y), scipy.stats.kendalltau(x, y), scipy.stats.pearsonr(x, y)
    numbers = [float(number) for result in results for number in (result.statistic, result.pvalue)]
    return {"n": len(x), **dict(zip(KEYS, numbers, strict=True)), "undefined": None}


def why_undefined(x, y):
    """Why two vectors have no correlation, or None."""
    if len(x) < MIN_PAIRS:
        return f"fewer than {MIN_PAIRS} pairs"
    missing = [text for text in (describe_missing("cosine", x), describe_missing("leakage", y)) if text]
    if missing:
        return ", ".join(missing)
    for name, values in (("cosine", x), ("leakage", y)):
        if np.ptp(values) == 0:
            return f"{name} is the same for all pairs"
    return None


def correlate_table(table):
    """:func:`correlate` on the rows of a pairs table, see leakage_of."""
    return correlate(table["cosine"], leakage_of(table))


def leakage_of(table):
    """The leakage of each row of a pairs table: its rate minus that of the same persona without adapter, if the table has it.

    In a table of mean scores, the change of the mean, positive for more of the behaviour.
    """
    if "outcome" in table:
        return table["leakage"]
    return (table["rate"] - table["base_rate"]).round(DECIMALS) if "base_rate" in table else table["rate"]


def correlate_sources(table):
    """{source: its correlations, its own rate (None if unknown) and its bystanders' mean rate} from the pairs of one layer."""
    return {
        source: {
            **correlate_table(rows),
            "source_rate": float(rows["source_rate"].iloc[0]) if "source_rate" in rows else None,
            "mean_bystander_rate": finite(rows["rate"].mean(skipna=False)),
            **({"mean_leakage": finite(rows["leakage"].mean())} if "outcome" in rows else {}),
        }
        for source, rows in table.groupby("source", sort=False)
    }


def correlate_together(table):
    """:func:`correlate_table` over the pairs of several sources, with the 95 % interval that independent pairs would have.

    That interval: standard error of Spearman's rho by Bonett & Wright (2000), normal on Fisher's z; None for fewer than 4 pairs.
    The pairs share sources and bystanders, so it is too narrow.
    """
    result = correlate_table(table)
    rho, n = result["spearman_rho"], result["n"]
    interval = None
    if rho is not None and n > 3:
        interval = correlation_interval(rho, float((1 - rho**2) * np.sqrt((1 + rho**2 / 2) / (n - 3))), np.inf)
    return {**result, "interval_if_independent": interval}


def correlate_ranks(table):
    """Pearson correlation of the ranks that cosine and leakage have within their source, from -1/2 to 1/2, all sources together.

    No p-value: the rows of one bystander are not independent of each other (see permutation.py for a test).
    """
    groups = table.assign(leakage=leakage_of(table)).groupby("source")[["cosine", "leakage"]]
    ranks = (groups.rank() - (groups.transform("count") + 1) / 2) / groups.transform("count")
    result = correlate(ranks["cosine"], ranks["leakage"])
    return {"rho": result["pearson_r"], "n": result["n"], "undefined": result["undefined"]}


def correlate_layer(table, min_category_size, left_out=(), why=NONE_LEARNED):
    """The block of correlation.json for the pairs of one layer.

    per_source; pooled (raw: mixes the sources' baselines, kept for comparison); within_source_ranks; per_category of the
    bystander, over all sources, where it has at least ``min_category_size`` pairs; related_only
    (bystanders that are relatives of the source). All but per_source without the sources
    ``left_out``, whose adapters did not learn the behaviour or whose bystanders do not differ. why: the reason given if none is left.
    """
    per_source = correlate_sources(table)
    table = table[~table["source"].isin(list(left_out))]
    categories = table.groupby("category", sort=True)
    over_sources = {
        "pooled": correlate_together(table),
        "within_source_ranks": correlate_ranks(table),
        "per_category": {name: correlate_together(rows) for name, rows in categories if len(rows) >= min_category_size},
        "related_only": correlate_together(table[table["related"]]),
    }
    if table.empty:
        for name in ("pooled", "within_source_ranks", "related_only"):
            over_sources[name]["undefined"] = why
    return {"per_source": per_source, **over_sources}


def correlate_pairs(table, headline_layer, min_category_size, left_out=(), why=NONE_LEARNED):
    """All blocks of correlation.json: {"headline_layer", "layers": {"20": block}}."""
    return {
        "headline_layer": headline_layer,
        "layers": {
            str(layer): correlate_layer(rows, min_category_size, left_out, why) for layer, rows in table.groupby("layer", sort=True)
        },
    }
