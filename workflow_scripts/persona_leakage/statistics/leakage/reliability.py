"""Noise ceiling: the reliability of the measured leakage from split halves."""

import numpy as np

from persona_leakage.infrastructure.undefined import undefined
from persona_leakage.statistics.core.pair_matrices import MIN_DIFFERENT, count_different
from persona_leakage.statistics.core.ranks import standard_ranks

SPLITS = 200
KEYS = ("half_correlation", "reliability", "ceiling")


def half_rates_by_question(found, total, generator):
    """Leakage in two random halves of the questions, SPLITS times: two arrays [splits, personas] from [personas, questions]."""
    size = found.shape[-1]
    order = generator.permuted(np.tile(np.arange(size), (SPLITS, 1)), axis=1)
    halves = (order[:, : size // 2], order[:, size // 2 : 2 * (size // 2)])
    return [(found[:, half].sum(axis=-1) / total[:, half].sum(axis=-1)).T for half in halves]


def half_rates_by_sample(found, total, generator):
    """Leakage in two random halves of the replies of each cell [personas, cells], SPLITS times: two arrays [splits, personas]."""
    half = total // 2
    first = generator.hypergeometric(found, total - found, half, size=(SPLITS, *found.shape))
    return [first.sum(axis=-1) / half.sum(axis=-1), (found - first).sum(axis=-1) / (total - half).sum(axis=-1)]


def reliability(halves, rates, parts=2.0):
    """Reliability of the whole measurement from the rank correlation r of its halves [splits, personas].

    Spearman-Brown, m r / (1 + (m - 1) r), on the mean r of the splits, where the whole is m = ``parts`` times a half. The
    ceiling is its square root: the correlation that a perfect predictor of true leakage would have with the measured one.
    rates [personas]: of the whole measurement; at least MIN_DIFFERENT must differ from the most common rate.
    """
    different = count_different(rates) if len(rates) else 0
    if different < MIN_DIFFERENT:
        return undefined(f"{different} bystander(s) differ in leakage from the rest; at least {MIN_DIFFERENT} needed", *KEYS)
    with np.errstate(invalid="ignore"):
        correlations = (standard_ranks(halves[0]) * standard_ranks(halves[1])).sum(axis=-1)
    known = correlations[~np.isnan(correlations)]
    if len(known) < len(correlations):
        same = len(correlations) - len(known)
        return undefined(f"leakage is the same for all bystanders in a half of {same} of {len(correlations)} splits", *KEYS)
    mean = float(known.mean())
    whole = max(0.0, parts * mean / (1 + (parts - 1) * mean)) if mean > 0 else 0.0
    return {"half_correlation": mean, "reliability": whole, "ceiling": whole**0.5, "undefined": None}


def reliability_by_question(found, total, generator, rates):
    """:func:`reliability` from halves of the questions: found, total [personas, questions].

    Splits in which some persona has a half without replies are left out.
    """
    size = found.shape[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        halves = half_rates_by_question(found, total, generator)
    whole = ~(np.isnan(halves[0]) | np.isnan(halves[1])).any(axis=1)
    if whole.sum() < SPLITS / 4:
        return undefined(f"in {SPLITS - whole.sum()} of {SPLITS} splits a bystander has no value in a half of the questions", *KEYS)
    return reliability([half[whole] for half in halves], rates, size / (size // 2))


def noise_ceilings(matrices, seed, counts=None):
    """{source: {"questions": reliability, "samples": reliability}} of the leakage measured with each source.

    questions: halves of the questions, so that noise of sampling and of the choice of questions both
    count; samples: halves of the replies to the same questions, so that only sampling counts.
    counts: {"found", "total"} [sources, personas, questions]; without them replies are split over all questions.
    """
    generator = np.random.default_rng(seed)
    result = {}
    if matrices.began_above_zero:
        reason = undefined("the control is not 0 throughout, and its own noise is not known", *KEYS)
        return {source: {"questions": reason, "samples": reason} for source in matrices.sources}
    for index, source in enumerate(matrices.sources):
        members = np.flatnonzero(~np.isnan(matrices.rate[index]))
        if counts is None:
            found, total = (values[index, members][:, None].astype(int) for values in (matrices.found, matrices.total))
            questions = undefined("no counts per question", *KEYS)
        else:
            found, total = (counts[key][index, members] for key in ("found", "total"))
            size = found.shape[-1]
            questions = undefined("one question", *KEYS)
            if size > 1:
                questions = reliability_by_question(found, total, generator, matrices.rate[index, members])
        samples = undefined("one reply per question, or none", *KEYS)
        if matrices.linear:
            samples = undefined("one number per question is kept, not one per reply", *KEYS)
        elif total.size and (total > 1).all():
            found, total = found.astype(int), total.astype(int)
            parts = total.sum() / (total // 2).sum()
            samples = reliability(half_rates_by_sample(found, total, generator), matrices.rate[index, members], parts)
        result[source] = {"questions": questions, "samples": samples}
    return result


def disattenuate(rho, ceilings):
    """rho over the ceiling of its source, from questions where known, else from samples; None if neither is. Can exceed 1."""
    for kind in ("questions", "samples"):
        if rho is not None and ceilings[kind]["ceiling"]:
            return {"rho": rho / ceilings[kind]["ceiling"], "ceiling_from": kind}
    return {"rho": None, "ceiling_from": None}
