"""Confidence intervals of the correlations: bootstrap over bystanders, questions and, if there are enough, sources."""

from dataclasses import dataclass, replace

import numpy as np

from persona_leakage.infrastructure.intervals import correlation_interval, plain_interval
from persona_leakage.infrastructure.undefined import undefined
from persona_leakage.statistics.core.ranks import standard_ranks, weighted_correlation, weighted_ranks

MIN_SOURCES, MIN_QUESTIONS = 5, 5
MEAN_KEYS = (
    *("mean_rho", "n_sources", "interval", "interval_covers", "interval_bystanders"),
    *("interval_over_sources", "no_interval_over_sources"),
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

    weights: {source: [samples, personas]}.
    """
    found = []
    for source in sources:
        members = present(matrices, source)
        counts = weights[source][:, members]
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


@dataclass(frozen=True)
class Draws:
    """What a Bootstrap resamples: how often each persona is drawn, and what its rates are with other questions.

    weights: [samples, personas], for all sources alike; apart: {source (index): the same}, for each apart. rates: {"questions", "cells"}
    of resample_rates, with the questions drawn for all personas alike and for each apart; {} without counts per question, or with
    fewer than MIN_QUESTIONS of them. correction: a resample of q questions varies by a factor (q - 1) / q too little.
    """

    weights: np.ndarray
    apart: dict
    rates: dict
    correction: float | None = None


def draw_resamples(matrices, sources, samples, seed, counts=None):
    """The Draws of ``samples`` resamples. counts: {"found", "total"} [sources of the table, personas, questions], or None."""
    generator, size = np.random.default_rng(seed), len(matrices.personas)
    weights = multinomial_weights(generator, size, samples)
    apart = {source: multinomial_weights(generator, size, samples) for source in sources}
    questions = 0 if counts is None else counts["found"].shape[-1]
    if questions < MIN_QUESTIONS:
        return Draws(weights, apart, {})
    rates = {
        way: resample_rates(matrices, sources, counts, generator, samples, per_persona)
        for way, per_persona in (("questions", False), ("cells", True))
    }
    return Draws(weights, apart, rates, questions / (questions - 1))


@dataclass(frozen=True)
class Bootstrap:
    """Resampled within-source correlations of one table, drawn once and shared by all intervals.

    sizes: pairs of each of ``sources``. drawn: correlations [layers, sources, samples] by what was resampled: "bystanders"; "bystanders
    apart", others for each source; "questions"; "cells", other questions for each persona. The last two are missing where Draws has none.
    What the two that draw apart spread is noise that the other two hold as well.
    """

    sources: list
    sizes: list
    drawn: dict
    correction: float | None

    def errors(self, statistic):
        """{"bystanders", "both"}: standard errors of ``statistic``, a function of correlations [layers, sources, samples] to [samples].

        Over bystanders and questions the variances of the two ways of drawing add up, minus that of the cells, which both
        hold (Cameron, Gelbach & Miller 2011). Without counts per question, both is that of bystanders.
        """
        bystanders = variance(statistic(self.drawn["bystanders"]))
        both = bystanders
        if "questions" in self.drawn:
            questions, cells = (variance(statistic(self.drawn[way])) for way in ("questions", "cells"))
            both = bystanders + self.correction * np.maximum(0.0, questions - cells)  # max() would take a NaN for nothing
        return {"bystanders": bystanders**0.5, "both": both**0.5}

    def shared_variance(self, layer):
        """The part of the variance of the mean correlation that comes from all sources having the same bystanders and questions."""
        total = self.errors(lambda drawn: drawn[layer].mean(axis=0))["both"] ** 2
        return float(np.maximum(0.0, total - variance(self.drawn["bystanders apart"][layer].mean(axis=0))))

    def change(self, function, **changes):
        """The same with ``function(way, correlations)`` of each of ``drawn``."""
        return replace(self, drawn={way: function(way, values) for way, values in self.drawn.items()}, **changes)


def resample(matrices, sources, draws):
    """The Bootstrap of ``sources`` with ``draws``, which may be those of another table with the same personas and at least these pairs.

    Tables with the same draws are paired. A source with few pairs may have none of them in a resample, which is NaN there.
    """
    with np.errstate(invalid="ignore"):
        drawn = {
            "bystanders": resample_bystanders(matrices, sources, dict.fromkeys(sources, draws.weights)),
            "bystanders apart": resample_bystanders(matrices, sources, draws.apart),
            **{way: correlate_rates(matrices, sources, rates) for way, rates in draws.rates.items()},
        }
    return Bootstrap(sources, [len(present(matrices, source)) for source in sources], drawn, draws.correction)


def draw_bootstrap(matrices, sources, samples, seed, counts=None):
    """The Bootstrap of one table, where nothing is paired with it; arguments as draw_resamples."""
    return resample(matrices, sources, draw_resamples(matrices, sources, samples, seed, counts))


def variance(values):
    """Variance over the samples that are defined; NaN if less than nine tenths are."""
    known = values[~np.isnan(values)]
    return float(known.var(ddof=1)) if len(known) >= 0.9 * len(values) else float("nan")


def describe_source(bootstrap, layer, index, rho):
    """95 % interval of one source's Spearman correlation over its bystanders; ``index`` among the bootstrap's sources."""
    error = variance(bootstrap.drawn["bystanders"][layer, index]) ** 0.5
    return correlation_interval(rho, error, bootstrap.sizes[index] - 1)


def describe_mean(bootstrap, layer, rhos):
    """The mean within-source correlation with its intervals."""
    mean, size = float(np.mean(rhos)), min(bootstrap.sizes) - 1
    errors = bootstrap.errors(lambda drawn: drawn[layer].mean(axis=0))
    over_sources, reason = interval_over_sources(bootstrap, layer, rhos, mean)
    interval = correlation_interval(mean, errors["both"], size)
    covers = "bystanders and questions" if "questions" in bootstrap.drawn else "bystanders"
    return {
        "mean_rho": mean,
        "n_sources": len(rhos),
        "interval": interval,
        "interval_covers": covers if interval else None,
        "interval_bystanders": correlation_interval(mean, errors["bystanders"], size),
        "interval_over_sources": over_sources,
        "no_interval_over_sources": reason,
        "undefined": None,
    }


def interval_over_sources(bootstrap, layer, rhos, mean):
    """(interval of the mean correlation for sources like these, None) or (None, why there is none).

    The sources' own spread is added to the error over bystanders and questions, minus what both hold; degrees of freedom by Satterthwaite.
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
    """Mean correlation of one layer minus that of the headline layer, with its interval over bystanders and questions."""
    if layer == headline:
        return undefined("the headline layer itself", *DIFFERENCE_KEYS)
    difference = float(np.mean(rhos) - np.mean(headline_rhos))
    errors = bootstrap.errors(lambda drawn: (drawn[layer] - drawn[headline]).mean(axis=0))
    interval = plain_interval(difference, errors["both"], min(bootstrap.sizes) - 1)
    return {"difference": difference, "interval": interval, "undefined": None}
