"""Rank and linear correlation of cosine with leakage: per source, pooled, per category, among relatives."""

import numpy as np
from scipy import stats

MIN_PAIRS = 3


def correlate(x, y):
    """Spearman and Pearson correlation of two equally long vectors, with two-sided p-values.

    Spearman: ties take mean ranks, p from Student's t with n - 2 degrees of freedom (scipy.stats.spearmanr).
    Returns {"n", "spearman_rho", "spearman_p", "pearson_r", "pearson_p", "undefined"}; with fewer
    than 3 pairs or a constant vector the numbers are None and "undefined" says why.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    empty = {"n": len(x), "spearman_rho": None, "spearman_p": None, "pearson_r": None, "pearson_p": None}
    if len(x) < MIN_PAIRS:
        return {**empty, "undefined": f"fewer than {MIN_PAIRS} pairs"}
    for name, values in (("cosine", x), ("leakage", y)):
        if np.ptp(values) == 0:
            return {**empty, "undefined": f"{name} is the same for all pairs"}
    spearman, pearson = stats.spearmanr(x, y), stats.pearsonr(x, y)
    return {
        "n": len(x),
        "spearman_rho": float(spearman.statistic),
        "spearman_p": float(spearman.pvalue),
        "pearson_r": float(pearson.statistic),
        "pearson_p": float(pearson.pvalue),
        "undefined": None,
    }


def correlate_table(table, cosine="cosine"):
    """:func:`correlate` on the rows of a pairs table, leakage being the column "rate"."""
    return correlate(table[cosine], table["rate"])


def uncentred(table):
    """The same correlations with uncentred cosines, under the key "uncentred"; {} if the table has none."""
    return {"uncentred": correlate_table(table, "cosine_raw")} if "cosine_raw" in table else {}


def correlate_layer(table, min_category_size):
    """The block of correlation.json for the pairs of one layer.

    per_source; pooled (raw: mixes the sources' baselines, kept for comparison); per_category of the
    bystander, over all sources, where it has at least ``min_category_size`` pairs; related_only
    (bystanders that are relatives of the source); the same with uncentred cosines beside it.
    """
    categories = table.groupby("category", sort=True)
    return {
        "per_source": {
            source: {
                **correlate_table(rows),
                **uncentred(rows),
                "source_rate": float(rows["source_rate"].iloc[0]) if "source_rate" in rows else None,
                "mean_bystander_rate": float(rows["rate"].mean()),
            }
            for source, rows in table.groupby("source", sort=False)
        },
        "pooled": {**correlate_table(table), **uncentred(table)},
        "per_category": {name: correlate_table(rows) for name, rows in categories if len(rows) >= min_category_size},
        "related_only": correlate_table(table[table["related"]]),
    }


def correlate_pairs(table, headline_layer, min_category_size):
    """All blocks of correlation.json: {"headline_layer", "layers": {"20": block}}."""
    return {
        "headline_layer": headline_layer,
        "layers": {str(layer): correlate_layer(rows, min_category_size) for layer, rows in table.groupby("layer", sort=True)},
    }
