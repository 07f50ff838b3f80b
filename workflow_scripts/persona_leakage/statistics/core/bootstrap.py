"""Confidence intervals of the correlations: bootstrap over bystanders, questions and, if there are enough, sources."""

import numpy as np

from persona_leakage.infrastructure.intervals import correlation_interval, plain_interval
from persona_leakage.infrastructure.undefined import undefined
from persona_leakage.statistics.core.ranks import standard_ranks, weighted_correlation, weighted_ranks

MIN_SOURCES, MIN_QUESTIONS = 5, 5
MEAN_KEYS = (
    "mean_rho",
    "n_sources",
    "interval",
    "interval_covers",
    "interval_bystanders",
    "interval_over_sources",
    "no_interval_over_sources",
    "standard_errors",
)
DIFFERENCE_KEYS = ("difference", "interval")


def multinomial_weights(generator, size, count):
    """How often each of ``size`` items is drawn in ``count`` resamples of that size: [count, size]."""
    return generator.multinomial(size, np.full(size, 1 / size), size=count).astype(float)


def present(matrices, source):
    """Indices of the personas that have a pair with the source (an index)."""
    return np.flatnonzero(~np.isnan(matrices.rate[source]) & ~np.isnan(matrices.cosines["cosine"][:, source]).any(axis=0))


def resample_bystanders(matrices, sources, weights):
    """Within-source Spearman correlations in resamples of the personas: [layers, sources, samples].

    weights: of each source [samples, personas], or one such array to draw the same personas for all sources.
    """
    found = []
    for index, source in enumerate(sources):
        members = present(matrices, source)
        counts = (weights[index] if isinstance(weights, list) else weights)[:, members]
        ranks = weighted_ranks(matrices.leakage[source, members], counts)
        found.append(
            [weighted_correlation(weighted_ranks(layer[source, members], counts), ranks, counts) for layer in matrices.cosines["cosine"]]
        )
    return np.array(found).swapaxes(0, 1)


def resample_rates(matrices, sources, counts, generator, samples, per_persona):
    """{source (index): rates [samples, personas]} when the questions are drawn again, for all personas alike or for each persona apart.

    counts: {"found", "total"} [sources of the table, personas, questions]. NaN for personas without a pair.
    """
    size = counts["found"].shape[-1]
    shared = multinomial_weights(generator, size, samples)
    result = {}
    for source in sources:
        members = present(matrices, source)
        found, total = (counts[key][source, members] for key in ("found", "total"))
        rates = np.full((samples, len(matrices.personas)), np.nan)
        if per_persona:
            drawn = generator.integers(size, size=(samples, len(members), size))
            indices = np.arange(len(members))[:, None]
            rates[:, members] = found[indices, drawn].sum(axis=-1) / total[indices, drawn].sum(axis=-1)
        else:
            rates[:, members] = (shared @ found.T) / (shared @ total.T)
        result[source] = rates
    return result


def correlate_rates(matrices, sources, rates):
    """Within-source Spearman correlations of the cosines with resampled rates (see resample_rates): [layers, sources, samples]."""
    result = []
    for source in sources:
        members = present(matrices, source)
        drawn = rates[source][:, members]
        ranks = standard_ranks(drawn if matrices.base is None else drawn - matrices.base[members])
        result.append(standard_ranks(matrices.cosines["cosine"][:, source, members]) @ ranks.T)
    return np.array(result).swapaxes(0, 1)


class Draws:
    """What a Bootstrap resamples: how often each persona is drawn, and what its rates are with other questions.

    weights: [samples, personas], for all sources alike; apart: {source (index): the same}, for each apart. question_rates, cell_rates:
    of resample_rates, with the questions drawn for all personas alike and for each apart; None without counts per question, or with
    fewer than MIN_QUESTIONS of them.
    """

    def __init__(self, matrices, sources, samples, seed, counts=None):
        generator = np.random.default_rng(seed)
        size = len(matrices.personas)
        self.weights = multinomial_weights(generator, size, samples)
        self.apart = {source: multinomial_weights(generator, size, samples) for source in sources}
        self.question_rates = self.cell_rates = None
        if counts is not None and counts["found"].shape[-1] >= MIN_QUESTIONS:
            # a resample of q questions varies by a factor (q - 1) / q too little
            self.correction = counts["found"].shape[-1] / (counts["found"].shape[-1] - 1)
            self.question_rates = resample_rates(matrices, sources, counts, generator, samples, per_persona=False)
            self.cell_rates = resample_rates(matrices, sources, counts, generator, samples, per_persona=True)


class Bootstrap:
    """Resampled within-source correlations of one table, drawn once and shared by all intervals.

    by_bystander, by_source_and_bystander, by_question, by_cell: [layers, sources, samples]; the last two are None
    without counts per question, or with fewer than MIN_QUESTIONS of them. by_source_and_bystander draws other personas
    for each source, by_cell other questions for each persona: what these two spread is noise that the other ways of
    drawing hold as well. draws: those of a table with the same personas, and with all these sources and pairs, to compare with.
    """

    def __init__(self, matrices, sources, samples, seed, counts=None, draws=None):
        draws = draws or Draws(matrices, sources, samples, seed, counts)
        self.sources = sources
        self.sizes = [len(present(matrices, source)) for source in sources]
        self.by_bystander = resample_bystanders(matrices, sources, draws.weights)
        self.by_source_and_bystander = resample_bystanders(matrices, sources, [draws.apart[source] for source in sources])
        self.by_question = self.by_cell = None
        if draws.question_rates is not None:
            self.correction = draws.correction
            self.by_question = correlate_rates(matrices, sources, draws.question_rates)
            self.by_cell = correlate_rates(matrices, sources, draws.cell_rates)

    def errors(self, statistic):
        """Standard errors of ``statistic``: a function of correlations [sources, samples] that gives [samples].

        Over bystanders and questions the variances of the two ways of drawing add up, less that of the cells, which both
        hold (Cameron, Gelbach & Miller 2011). None where counts per question are lacking.
        """
        bystanders = variance(statistic(self.by_bystander))
        errors = {"bystanders": bystanders**0.5, "questions": None, "both": bystanders**0.5}
        if self.by_question is not None:
            questions, cells = variance(statistic(self.by_question)), variance(statistic(self.by_cell))
            errors["questions"] = (self.correction * questions) ** 0.5
            # np.maximum, because max() would take a NaN for nothing
            errors["both"] = (bystanders + self.correction * np.maximum(0.0, questions - cells)) ** 0.5
        return errors

    def shared_variance(self, layer):
        """The part of the variance of the mean correlation that comes from all sources having the same bystanders and questions."""
        total = self.errors(lambda drawn: drawn[layer].mean(axis=0))["both"] ** 2
        return float(np.maximum(0.0, total - variance(self.by_source_and_bystander[layer].mean(axis=0))))


def variance(values):
    """Variance over the samples that are defined; NaN if less than nine tenths are."""
    known = values[~np.isnan(values)]
    return float(known.var(ddof=1)) if len(known) >= 0.9 * len(values) else float("nan")


def describe_source(bootstrap, layer, index, rho):
    """95 % interval of one source's Spearman correlation over its bystanders; ``index`` among the bootstrap's sources."""
    error = variance(bootstrap.by_bystander[layer, index]) ** 0.5
    return correlation_interval(rho, error, bootstrap.sizes[index] - 1)


def describe_mean(bootstrap, layer, rhos):
    """The mean within-source correlation with its intervals and the parts of its standard error."""
    mean, size = float(np.mean(rhos)), min(bootstrap.sizes) - 1
    errors = bootstrap.errors(lambda drawn: drawn[layer].mean(axis=0))
    over_sources, reason = interval_over_sources(bootstrap, layer, rhos, mean)
    parts = {key: (float(value) if value is not None and np.isfinite(value) else None) for key, value in errors.items()}
    interval = correlation_interval(mean, errors["both"], size)
    covers = "bystanders" if bootstrap.by_question is None else "bystanders and questions"
    return {
        "mean_rho": mean,
        "n_sources": len(rhos),
        "interval": interval,
        "interval_covers": covers if interval else None,
        "interval_bystanders": correlation_interval(mean, errors["bystanders"], size),
        "interval_over_sources": over_sources,
        "no_interval_over_sources": reason,
        "standard_errors": parts,
        "undefined": None,
    }


def interval_over_sources(bootstrap, layer, rhos, mean):
    """(interval of the mean correlation for sources like these, None) or (None, why there is none).

    The sources' own spread is added to the error over bystanders and questions, less what both hold; degrees of freedom by Satterthwaite.
    """
    if len(rhos) < MIN_SOURCES:
        return None, f"{len(rhos)} sources; at least {MIN_SOURCES} needed"
    among = float(np.var(rhos, ddof=1)) / len(rhos)
    shared = bootstrap.shared_variance(layer)
    if not among + shared > 0:
        return None, "the sources' correlations are all the same, or their error is unknown"
    freedom = (among + shared) ** 2 / (among**2 / (len(rhos) - 1) + shared**2 / (min(bootstrap.sizes) - 1))
    return correlation_interval(mean, (among + shared) ** 0.5, freedom), None


def describe_difference(bootstrap, layer, headline, rhos, headline_rhos):
    """Mean correlation of one layer less that of the headline layer, with its interval over bystanders and questions."""
    if layer == headline:
        return undefined("the headline layer itself", *DIFFERENCE_KEYS)
    difference = float(np.mean(rhos) - np.mean(headline_rhos))
    errors = bootstrap.errors(lambda drawn: (drawn[layer] - drawn[headline]).mean(axis=0))
    interval = plain_interval(difference, errors["both"], min(bootstrap.sizes) - 1)
    return {"difference": difference, "interval": interval, "undefined": None}
