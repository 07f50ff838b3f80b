"""Variance components of a finished study, to plan the power of the next one."""

from pathlib import Path

import numpy as np

from persona_leakage.config.finished_study import analysis_folders
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.core.ranks import standard_ranks
from persona_leakage.statistics.prediction.power import TRUE, Components, Design, rank_link, shared_part
from persona_leakage.tables.question_counts import read_question_counts
from persona_leakage.tables.read import read_pairs

MOST_RHO = 0.99


def read_counts(study):
    """(found, total) [K, S, P, Q] of a Study, NaN where it has no pair."""
    found, total = [], []
    for folder in analysis_folders(study.folder, study.config):
        path = Path(folder) / "question_counts.csv"
        if not path.is_file():
            raise InputError(f"{path}: no such file; variance components need the counts of each question")
        table = read_pairs(folder / "pairs.csv")
        matrices = matrices_of(table[table["layer"] == study.layer])
        counts = read_question_counts(path, matrices)
        rows = [matrices.sources.index(name) for name in study.sources]
        hidden = np.isnan(study.closeness)[..., None]
        found.append(np.where(hidden, np.nan, counts["found"][rows]))
        total.append(np.where(hidden, np.nan, counts["total"][rows]))
    return np.stack(found), np.stack(total)


def estimate_components(study):
    """The Components of a Study by moments, pooled over its sources; InputError if it gives no amounts."""
    if study.problem:
        raise InputError(f"{study.problem}; state guesses instead (--guesses)")
    if len(study.sources) < 2:
        raise InputError(f"{study.folder}: has {len(study.sources)} source; variance between sources needs 2; state guesses (--guesses)")
    found, total = read_counts(study)
    seeds, _, _, questions = found.shape
    shares = rate_shares(found, total)
    replies = max(1, round(float(np.nanmean(total))))
    bystanders = round(float((~np.isnan(study.closeness)).sum(axis=1).mean()))
    design = Design(bystanders, len(study.sources), questions, replies, seeds)
    unit = Components(rho=0.0, rho_sd=0.0, shared=1.0, **shares)
    rho, spread = correlation_parts(study, rank_link(unit, design))
    shared = min(MOST_RHO, mean_shared(study) / max(1e-9, shared_part(unit, design)))
    return Components(rho=rho, rho_sd=spread, shared=shared, **shares)


def rate_shares(found, total):
    """{"rate", "persona", "training", "question"} from counts [K, S, P, Q]; negative moments count as 0."""
    seeds, _, _, questions = found.shape
    rates, replies = found / total, float(np.nanmean(total))
    within = np.nanmean(found * (total - found) / (total * np.maximum(total - 1, 1)))
    centred = rates - np.nanmean(rates, axis=2, keepdims=True)
    question = max(0.0, np.nanmean(nan_variance(centred, 3)) - within / replies) if questions > 1 else 0.0
    persona_rates = rates.mean(axis=3)
    of_asking = question / questions + within / (replies * questions)
    shifted = persona_rates - np.nanmean(persona_rates, axis=2, keepdims=True)
    training = max(0.0, np.nanmean(nan_variance(shifted, 0)) - of_asking) if seeds > 1 else 0.0
    means = persona_rates.mean(axis=0)
    persona = max(0.0, np.nanmean(nan_variance(means, 1)) - (training + of_asking) / seeds)
    level = np.nanmean(means, axis=1)
    whole = float((level * (1 - level)).mean())
    return {
        "rate": float(level.mean()),
        "persona": float(persona / whole),
        "training": float(training / (whole - persona)),
        "question": float(question / (whole - persona - training)),
    }


def nan_variance(values, axis):
    """Sample variance along an axis; NaN, without a warning, where nothing is known."""
    size = (~np.isnan(values)).sum(axis=axis)
    squares = np.nansum((values - np.nansum(values, axis=axis, keepdims=True) / np.maximum(1, np.expand_dims(size, axis))) ** 2, axis=axis)
    return np.where(size > 1, squares / np.maximum(1, size - 1), np.nan)


def correlation_parts(study, link):
    """(mean correlation, its standard deviation between sources in Fisher's z) of closeness with true leakage. link: of rank_link."""
    rates, scores, errors = study.rates.mean(axis=0), [], []
    steepness = np.gradient(link, TRUE)
    for x, y in zip(study.closeness, rates, strict=True):
        there = ~(np.isnan(x) | np.isnan(y))
        rho = float(np.nan_to_num(standard_ranks(x[there]) @ standard_ranks(y[there])))
        true = np.clip(np.interp(rho, link, TRUE), -MOST_RHO, MOST_RHO)
        slope = (1 - rho**2) / (1 - true**2) / np.interp(true, TRUE, steepness)  # of the true z on the measured z
        scores.append(np.arctanh(true))
        errors.append(slope**2 * (1 + rho**2 / 2) / (there.sum() - 3))
    spread = max(0.0, np.var(scores, ddof=1) - np.mean(errors)) ** 0.5
    return float(np.tanh(np.mean(scores))), float(spread)


def mean_shared(study):
    """Mean over pairs of sources of the rank correlation of their closeness times that of their measured leakage; 0 if negative."""
    rates = study.rates.mean(axis=0)
    common = ~(np.isnan(study.closeness) | np.isnan(rates)).any(axis=0)
    between = [standard_ranks(values[:, common]) @ standard_ranks(values[:, common]).T for values in (study.closeness, rates)]
    pairs = np.triu_indices(len(study.sources), k=1)
    return float(max(0.0, np.nan_to_num(between[0] * between[1])[pairs].mean()))
