"""The robustness checks: the same statistic over fewer pairs or with other cosines, or another statistic over the same pairs."""

from dataclasses import dataclass, replace

import numpy as np

from persona_leakage.geometry.cosine import cosine_matrix
from persona_leakage.infrastructure.intervals import correlation_interval, jackknife_error
from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.infrastructure.undefined import undefined
from persona_leakage.statistics.core.bootstrap import Bootstrap, Draws, describe_difference, describe_mean, present, resample, variance
from persona_leakage.statistics.core.pair_matrices import MIN_BYSTANDERS, PairMatrices
from persona_leakage.statistics.core.ranks import weighted_correlation, weighted_ranks
from persona_leakage.statistics.leakage.correlations import correlate, correlate_table
from persona_leakage.statistics.leakage.double_centred import correlate_all, describe_layer, gain_adjust
from persona_leakage.statistics.leakage.held_out_prediction import area_under_curve

HALVES = 20
KEYS = (
    *("n_sources", "n_bystanders", "n_pairs", "estimate", "interval", "interval_covers", "no_interval"),
    *("range", "difference", "difference_interval", "sources_left_out"),
)


@dataclass(frozen=True)
class Main:
    """The main analysis, which every check starts from.

    matrices: of the table. headline: index of its layer. sources: indices of the sources of the joint statistics. rhos: their Spearman
    correlations at the headline layer. draws, bootstrap: their resamples, at all layers.
    """

    matrices: PairMatrices
    headline: int
    sources: list
    rhos: list
    draws: Draws
    bootstrap: Bootstrap

    @property
    def cosine(self):
        """Cosines of the headline layer [sources of the table, personas]."""
        return self.matrices.cosines["cosine"][self.headline]

    @property
    def members(self):
        """Which pairs the main analysis uses: bool [sources of the table, personas]."""
        used = np.zeros(self.matrices.rate.shape, dtype=bool)
        for source in self.sources:
            used[source, present(self.matrices, source)] = True
        return used


def counted(pairs):
    """n_sources, n_bystanders and n_pairs of a bool array [sources, personas]."""
    return {
        "n_sources": int(pairs.any(axis=1).sum()),
        "n_bystanders": int(pairs.any(axis=0).sum()),
        "n_pairs": int(pairs.sum()),
    }


def block(pairs, **numbers):
    """A result block with all of KEYS, "undefined" None; pairs: those that the estimate comes from (see counted)."""
    found = {**dict.fromkeys(KEYS), "sources_left_out": {}, **counted(pairs), **numbers, "undefined": None}
    if found["interval"] is None and found["range"] is None:
        found["no_interval"] = "more than a tenth of the resamples have no value, or the estimate is at the end of its scale"
    return found


def nothing(reason, left_out=None):
    """A result block without an estimate, and why."""
    return {**undefined(reason, *KEYS), "sources_left_out": left_out or {}}


def mean_block(main, bootstrap, index, rhos, pairs=None, left_out=None):
    """Mean of ``rhos`` with its interval at layer ``index`` of a bootstrap, and how much it differs from the main analysis.

    pairs: that it comes from, if not those of the main analysis. Both resample the same bystanders and questions, so what these do to
    both alike drops out of the interval of the difference.
    """
    mean = describe_mean(bootstrap, index, rhos)

    def beside_main(way, values):
        drawn = values[index], main.bootstrap.drawn[way][main.headline]
        same = len(drawn[0]) == len(drawn[1])
        return np.stack(drawn if same else [each.mean(axis=0, keepdims=True) for each in drawn])

    both = bootstrap.change(beside_main, sizes=[min(bootstrap.sizes), min(main.bootstrap.sizes)])
    gap = describe_difference(both, 0, 1, [mean["mean_rho"]], [np.mean(main.rhos)])
    return block(
        main.members if pairs is None else pairs,
        estimate=mean["mean_rho"],
        interval=mean["interval"],
        interval_covers=mean["interval_covers"],
        difference=gap["difference"],
        difference_interval=gap["interval"],
        sources_left_out=left_out or {},
    )


def check_main(main):
    """The main analysis itself, as in within_source of correlation.json."""
    found = mean_block(main, main.bootstrap, main.headline, main.rhos)
    return {**found, "difference": None, "difference_interval": None}


def check_pairs(main, dropped, if_none):
    """The main analysis without the pairs ``dropped``, bool [sources of the table, personas]; if_none: what to say without such pairs.

    A source stays with at least MIN_BYSTANDERS pairs among which cosine and leakage vary.
    """
    pairs, leakage = main.members & ~dropped, main.matrices.leakage
    if (pairs == main.members).all():
        return nothing(if_none)
    rhos, sources, left_out = [], [], {}
    for source in main.sources:
        kept = pairs[source]
        found = correlate(main.cosine[source, kept], leakage[source, kept])
        few = f"{kept.sum()} bystander(s) left; at least {MIN_BYSTANDERS} needed" if kept.sum() < MIN_BYSTANDERS else None
        if reason := few or found["undefined"]:
            left_out[main.matrices.sources[source]] = reason
            pairs[source] = False
        else:
            sources.append(source)
            rhos.append(found["spearman_rho"])
    if not sources:
        return nothing("; ".join(f"{name}: {reason}" for name, reason in left_out.items()), left_out)
    rate = np.where(pairs, main.matrices.rate, np.nan)
    thinner = replace(main.matrices, layers=[0], cosines={"cosine": main.cosine[None]}, rate=rate)
    return mean_block(main, resample(thinner, sources, main.draws), 0, rhos, pairs, left_out)


def check_without_source(main, row):
    """The main analysis without one of its sources (index among them)."""
    rows = [other for other in range(len(main.sources)) if other != row]
    if not rows:
        return nothing("the only source")
    pairs = main.members
    pairs[main.sources[row]] = False
    sources, sizes, rhos = ([values[other] for other in rows] for values in (main.sources, main.bootstrap.sizes, main.rhos))
    bootstrap = main.bootstrap.change(lambda way, drawn: drawn[:, rows], sources=sources, sizes=sizes)
    return mean_block(main, bootstrap, main.headline, rhos, pairs)


def source_correlations(table, layer, names):
    """Spearman correlations of the sources ``names`` at a layer of a pairs table."""
    rows = table[table["layer"] == layer]
    return [correlate_table(rows[rows["source"] == name])["spearman_rho"] for name in names]


def check_layer(main, table, layer):
    """The main analysis at another layer."""
    rhos = source_correlations(table, layer, main.matrices.names(main.sources))
    return mean_block(main, main.bootstrap, main.matrices.layers.index(layer), rhos)


def check_raw_cosine(main):
    """The main analysis with cosines that are not centred on the panel."""
    raw = main.matrices.cosines.get("cosine_raw")
    return nothing("the table has no column cosine_raw") if raw is None else check_cosines(main, raw[main.headline])


def check_held_out(main, held_out):
    """The main analysis with cosines of centroids of other questions: {"personas", "centroids" [panel, hidden]}, or None."""
    if held_out is None:
        return nothing("no centroids of other questions were given (--held-out-centroids)")
    try:
        cosine = spread_cosines(main.matrices, held_out["personas"], held_out["centroids"], centred=True)
    except ValueError as error:
        return nothing(str(error))
    return check_cosines(main, cosine)


def check_cosines(main, cosine):
    """The main analysis with cosines [sources of the table, personas] of another kind."""
    rhos, problem = correlate_cosines(main, cosine)
    if problem:
        return nothing(problem)
    measured = np.where(np.isnan(main.matrices.rate), np.nan, cosine)
    bootstrap = resample(replace(main.matrices, layers=[0], cosines={"cosine": measured[None]}), main.sources, main.draws)
    return mean_block(main, bootstrap, 0, rhos)


def correlate_cosines(main, cosine):
    """(Spearman correlations of the sources with other cosines [sources of the table, personas], None), or (None, why there are none)."""
    members, rhos = main.members, []
    for source in main.sources:
        found = correlate(cosine[source, members[source]], main.matrices.leakage[source, members[source]])
        if found["undefined"]:
            return None, f"{main.matrices.sources[source]}: {found['undefined']}"
        rhos.append(found["spearman_rho"])
    return rhos, None


def check_half_panels(main, centroids):
    """Cosines centred on the mean of a random half of the panel, HALVES times: the median of the mean correlation, and its range.

    centroids: {"personas", "centroids" [panel, hidden]} at the headline layer, or None. All bystanders stay; only the mean that is
    subtracted changes.
    """
    if centroids is None:
        return nothing("needs the centroids themselves (--centroids); a pairs table has only their cosines")
    names, vectors = centroids["personas"], centroids["centroids"]
    if len(names) < 4:
        return nothing(f"{len(names)} personas in the panel; at least 4 needed")
    generator, means = np.random.default_rng(derive_seed("statistics", "half panels")), []
    order = np.argsort(np.array(names))  # the halves do not depend on the order of the file
    for _ in range(HALVES):
        half = generator.permutation(order)[: len(names) // 2]
        try:
            cosine = spread_cosines(main.matrices, names, vectors - vectors[half].mean(axis=0), centred=False)
        except ValueError as error:
            return nothing(str(error))
        rhos, reason = correlate_cosines(main, cosine)
        if reason:
            return nothing(reason)
        means.append(float(np.mean(rhos)))
    median = float(np.median(means))
    return block(main.members, estimate=median, range=[min(means), max(means)], difference=median - float(np.mean(main.rhos)))


def spread_cosines(matrices, names, vectors, centred):
    """Cosines between centroids [panel, hidden] on the axes of a PairMatrices: [sources, personas]. names: of the panel."""
    cosines = cosine_matrix(vectors, centred)
    return cosines[np.ix_([names.index(name) for name in matrices.sources], [names.index(name) for name in matrices.personas])]


def check_fire(main):
    """AUC: the chance that a bystander that shows the behaviour is closer to the source than one that does not; mean of the sources.

    A source needs MIN_BYSTANDERS of both kinds. The interval is that of 2 AUC - 1, a rank correlation (Cureton 1956).
    """
    values, drawn, pairs, left_out = [], [], main.members, {}
    weights = main.draws.weights
    for source in main.sources:
        members = np.flatnonzero(pairs[source])
        fires, cosine = main.matrices.leakage[source, members] > 0, main.cosine[source, members]
        if min(fires.sum(), (~fires).sum()) < MIN_BYSTANDERS:
            left_out[main.matrices.sources[source]] = (
                f"{fires.sum()} bystander(s) with leakage and {(~fires).sum()} without; at least {MIN_BYSTANDERS} of each needed"
            )
            pairs[source] = False
            continue
        values.append(area_under_curve(cosine, fires))
        drawn.append(weighted_area(cosine, fires, weights[:, members]))
    if not values:
        return nothing("; ".join(f"{name}: {reason}" for name, reason in left_out.items()), left_out)
    mean, size = float(np.mean(values)), int(pairs.sum(axis=1)[pairs.any(axis=1)].min())
    interval = correlation_interval(2 * mean - 1, 2 * variance(np.mean(drawn, axis=0)) ** 0.5, size - 1)
    interval = interval and [(1 + end) / 2 for end in interval]
    return block(pairs, estimate=mean, interval=interval, interval_covers="bystanders" if interval else None, sources_left_out=left_out)


def weighted_area(scores, positive, weights):
    """area_under_curve in samples in which value i stands weights[b, i] times: [samples]; NaN where one kind is absent."""
    ranks, of_positives = weighted_ranks(scores, weights), weights[:, positive].sum(axis=1)
    above = (weights * ranks)[:, positive].sum(axis=1) - of_positives**2 / 2
    pairs = of_positives * (weights.sum(axis=1) - of_positives)
    return np.divide(above, pairs, out=np.full_like(pairs, np.nan), where=pairs > 0)


def check_gain_adjusted(main):
    """double_centred.clear_of_floor.gain_adjusted_r of correlation.json, with a jackknife interval over the common bystanders."""
    sources = main.matrices.clear_sources(main.sources)
    if len(sources) < 2:
        return nothing(f"{len(sources)} source(s) clear of the floor; at least 2 needed")
    x, y = (main.matrices.common(values, sources) for values in (main.cosine, main.matrices.logits()))
    found = describe_layer(x, y)
    r = found["gain_adjusted_r"]
    if r is None:
        return nothing(found["undefined"] or "no variation is left after the adjustment")
    size = x.shape[1]
    parts = [np.stack([np.delete(values, column, axis=1) for column in range(size)]) for values in (x, y)]
    adjusted = [gain_adjust(values - values.mean(axis=-1, keepdims=True)) for values in parts]
    interval = correlation_interval(r, jackknife_error(correlate_all(*adjusted)), size - 1)
    pairs = np.zeros(main.matrices.rate.shape, dtype=bool)
    pairs[np.ix_(sources, main.matrices.bystanders)] = True
    left_out = {main.matrices.sources[index]: "not clear of the floor" for index in main.sources if index not in sources}
    return block(pairs, estimate=r, interval=interval, interval_covers="bystanders" if interval else None, sources_left_out=left_out)


def check_log_odds(main):
    """Pearson's r of cosine with the log-odds of leakage, mean of the sources; interval over bystanders."""
    if main.matrices.linear:
        return nothing("a mean score has no log-odds")
    logits, weights, members = main.matrices.logits(), main.draws.weights, main.members
    values, drawn = [], []
    for source in main.sources:
        x, y = main.cosine[source, members[source]], logits[source, members[source]]
        found = correlate(x, y)
        if found["undefined"]:
            return nothing(f"{main.matrices.sources[source]}: {found['undefined']}")
        values.append(found["pearson_r"])
        with np.errstate(invalid="ignore"):
            drawn.append(weighted_correlation(x, y, weights[:, members[source]]))
    mean = float(np.mean(values))
    interval = correlation_interval(mean, variance(np.mean(drawn, axis=0)) ** 0.5, min(main.bootstrap.sizes) - 1)
    return block(members, estimate=mean, interval=interval, interval_covers="bystanders" if interval else None)
