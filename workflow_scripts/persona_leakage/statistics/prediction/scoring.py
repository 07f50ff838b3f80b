"""Score frozen predictions once their sources are trained: ranking, amounts and intervals, against baselines."""

import numpy as np
from scipy import stats

from persona_leakage.infrastructure.intervals import LEVEL, wilson_interval
from persona_leakage.infrastructure.undefined import finite, undefined
from persona_leakage.statistics.core.pair_matrices import MIN_DIFFERENT, count_different
from persona_leakage.statistics.leakage.held_out_prediction import LEAKS, area_under_curve

RANKERS = ("cosine", "cosine_raw", "word_similarity", "char_similarity", "prompt_tokens")
BINS = 5


def join_measured(predictions, pairs):
    """The rows of ``predictions`` (a DataFrame) that were measured, with the columns rate, found and total.

    Left out are negatives, and pairs whose leakage the study had measured: they would score the calibration. pairs: a pairs table of
    one training.
    """
    measured = pairs.drop_duplicates(["source", "persona"])[["source", "persona", "rate", "found", "total"]]
    new = predictions[~predictions["negative"] & predictions["studied_rate"].isna()]
    joined = new.merge(measured, on=["source", "persona"], validate="one_to_one")
    return joined[joined["rate"].notna()].reset_index(drop=True)


def score_source(rows):
    """One source and training: correlations and AUC of every ranker, coverage, errors, and how often each answer was right.

    error: mean absolute error of the predicted rates; error_of_the_mean: of one number for all, their own mean, which is known only
    after training.
    """
    rates = rows["rate"].to_numpy()
    if len(rows) < MIN_DIFFERENT or count_different(rates) < MIN_DIFFERENT:
        ranking = undefined(f"fewer than {MIN_DIFFERENT} of {len(rows)} personas differ in leakage", "rank_correlation", "auc")
    else:
        scores = {name: rows[name].to_numpy(dtype=float) for name in RANKERS}
        ranking = {
            "rank_correlation": {name: correlation(values, rates) for name, values in scores.items()},
            "auc": {name: area_under_curve(values, rates > LEAKS) for name, values in scores.items()},
            "undefined": None,
        }
    mean = finite(rates.mean()) if len(rows) else None
    return {"personas": len(rows), "mean_rate": mean, **ranking, "amounts": score_amounts(rows, rates)}


def correlation(values, rates):
    """Spearman's correlation and its p (two-sided); None if one is constant."""
    if np.ptp(values) == 0 or np.ptp(rates) == 0:
        return None
    found = stats.spearmanr(values, rates)
    return {"rho": float(found.statistic), "p": float(found.pvalue)}


def score_amounts(rows, rates):
    """Coverage of the intervals, errors and answers; undefined where only a ranking was predicted."""
    keys = ("coverage", "covered", "coverage_interval", "meant", "error", "error_of_the_mean", "answers")
    if not len(rows) or rows["predicted"].isna().any():
        return undefined("only a ranking was predicted", *keys)
    predicted, low, high = (rows[name].to_numpy(dtype=float) for name in ("predicted", "low", "high"))
    inside = (low <= rates) & (rates <= high)
    right = {"leaks": rates > LEAKS, "below": rates < LEAKS}
    answers = {answer: [int(right[answer][rows["answer"] == answer].sum()), int((rows["answer"] == answer).sum())] for answer in right}
    return {
        "coverage": float(inside.mean()),
        "covered": int(inside.sum()),
        "coverage_interval": wilson_interval(inside.sum(), len(inside)),
        "meant": LEVEL,
        "error": float(np.abs(predicted - rates).mean()),
        "error_of_the_mean": float(np.abs(rates.mean() - rates).mean()),
        "answers": answers | {"cannot tell": int((rows["answer"] == "cannot tell").sum())},
        "undefined": None,
    }


def calibration_curve(rows):
    """[{"predicted", "measured", "personas"}]: mean predicted and measured rate of up to BINS groups by prediction; [] without rates."""
    rows = rows[rows["predicted"].notna()].sort_values("predicted", kind="stable")
    groups = [rows.iloc[part] for part in np.array_split(np.arange(len(rows)), BINS) if len(part)]
    return [
        {"predicted": float(part["predicted"].mean()), "measured": float(part["rate"].mean()), "personas": len(part)} for part in groups
    ]
