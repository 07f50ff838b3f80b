"""Do base rates explain the correlation? Leakage is a change, and training moves personas to one level, so high base rates fall most.

If personas close to a source have lower (or higher) base rates than others, closeness correlates with leakage without any effect.
Only for behaviours that some persona shows without adapter.
"""

from dataclasses import replace

import numpy as np

from persona_leakage.infrastructure.intervals import correlation_interval
from persona_leakage.infrastructure.undefined import finite, undefined
from persona_leakage.statistics.core.bootstrap import MEAN_KEYS, describe_mean, present, resample, variance
from persona_leakage.statistics.core.pair_matrices import MIN_BYSTANDERS
from persona_leakage.statistics.core.ranks import rank_correlation
from persona_leakage.statistics.leakage.signed_change import share_of_headroom

LEAST_ROOM = 0.2  # of the scale, that a persona's base rate must leave above it
KEYS = ("per_source", "partial", "explained")
WHOLLY = 1e-9  # 1 - r^2 of a correlation that leaves nothing


def partial_correlation(xy, xz, yz):
    """Correlation of x and y given z from the three plain ones (Yule 1907): (xy - xz yz) / sqrt((1 - xz^2) (1 - yz^2)); arrays.

    Of rank correlations it is that of the ranks' residuals. NaN where z determines x or y.
    """
    left = (1 - xz**2) * (1 - yz**2)
    return np.divide(xy - xz * yz, np.sqrt(np.maximum(left, 0)), out=np.full_like(left, np.nan), where=left > WHOLLY)


def partial_bootstrap(matrices, bootstrap, draws, given_cosine):
    """The Bootstrap whose correlations are those of cosine and leakage given the base rate, in the same resamples as ``bootstrap``.

    draws: of ``bootstrap``. given_cosine: rho of cosine and base rate [layers, sources], which other questions do not change: counts
    per question are of the replies with adapter alone, so the base rates stay as they are.
    """
    base = np.where(np.isnan(matrices.rate), np.nan, matrices.base)
    started = replace(matrices, layers=[0], cosines={"cosine": base[None]})
    leakage_base = resample(started, bootstrap.sources, draws).drawn
    cosine_base = resample(replace(matrices, rate=base, base=None), bootstrap.sources, replace(draws, rates={})).drawn

    def partial(way, drawn):
        given = cosine_base.get(way, given_cosine[..., None]), leakage_base[way]
        return partial_correlation(drawn, *(np.broadcast_to(values, drawn.shape) for values in given))

    return bootstrap.change(partial)


def describe_base_confound(matrices, bootstrap, draws):
    """The block "base_confound" of every layer: {KEYS, "undefined"}.

    bootstrap, draws: of the within-source correlations, whose pairs and resamples are used. All are rank correlations (Spearman)
    over a source's bystanders. per_source: {source: see correlations_of, with "partial" and its interval over bystanders}. partial:
    the mean rank correlation of cosine and leakage given the base rate, with the keys and intervals of within_source. explained:
    see is_explained; also true if the base rate determines leakage or cosine wholly. A noisy base rate takes out too little: the
    partial correlation keeps what base rates without noise would explain.
    """
    names = matrices.names(bootstrap.sources)
    flat = [name for name, source in zip(names, bootstrap.sources, strict=True) if np.ptp(matrices.base[present(matrices, source)]) == 0]
    if flat:
        return [undefined(f"the base rate is the same for all bystanders of {', '.join(flat)}", *KEYS)] * len(matrices.layers)
    blocks = [[correlations_of(matrices, layer, source) for source in bootstrap.sources] for layer in range(len(matrices.layers))]
    plain, given_cosine, given_leakage = (
        np.array([[block[key] for block in layer] for layer in blocks]) for key in ("plain", "cosine_base", "leakage_base")
    )
    partials = partial_correlation(plain, given_cosine, given_leakage)
    drawn = partial_bootstrap(matrices, bootstrap, draws, given_cosine)
    result = []
    for layer, sources in enumerate(blocks):
        per_source = {}
        for row, (name, block) in enumerate(zip(names, sources, strict=True)):
            error = variance(drawn.drawn["bystanders"][layer, row]) ** 0.5
            interval = correlation_interval(finite(partials[layer, row]), error, drawn.sizes[row] - 1)
            per_source[name] = {**block, "partial": finite(partials[layer, row]), "partial_interval": interval}
            per_source[name] = {key: finite(value) if isinstance(value, float) else value for key, value in per_source[name].items()}
        wholly = [name for name, value in zip(names, partials[layer], strict=True) if np.isnan(value)]
        if wholly:
            reason = f"the base rate determines leakage or cosine wholly for {', '.join(wholly)}"
            partial, explained = undefined(reason, *MEAN_KEYS), True
        else:
            partial = describe_mean(drawn, layer, partials[layer])
            explained = is_explained(describe_mean(bootstrap, layer, plain[layer])["interval"], partial["interval"])
        result.append({"per_source": per_source, "partial": partial, "explained": explained, "undefined": None})
    return result


def correlations_of(matrices, layer, source):
    """Rank correlations of one source at one layer (indices), floats, NaN where there is none.

    "plain": of cosine and leakage. "leakage_base", "cosine_base": of either with the base rate. "cosine_outcome": of cosine and the rate
    with adapter. "cosine_headroom": of cosine and share_of_headroom. "cosine_leakage_with_room": of cosine and leakage without the
    personas whose base rate leaves less than LEAST_ROOM of the scale; "n_with_room": how many others there are.
    """
    members = present(matrices, source)
    cosine, leakage = matrices.cosines["cosine"][layer, source, members], matrices.leakage[source, members]
    base = matrices.base[members]
    scale = np.where(matrices.linear, np.nan, base)  # a mean score has no ends of its scale to be measured against
    room = 1 - scale >= LEAST_ROOM - 1e-9
    return {
        "plain": rank_correlation(cosine, leakage),
        "leakage_base": rank_correlation(leakage, base),
        "cosine_base": rank_correlation(cosine, base),
        "cosine_outcome": rank_correlation(cosine, matrices.rate[source, members]),
        "cosine_headroom": float("nan") if matrices.linear else rank_correlation(cosine, share_of_headroom(leakage, base)),
        "cosine_leakage_with_room": rank_correlation(cosine[room], leakage[room]) if room.sum() >= MIN_BYSTANDERS else float("nan"),
        "n_with_room": None if matrices.linear else int(room.sum()),
    }


def is_explained(plain, partial):
    """Whether an interval excludes 0 and the partial one does not on the same side; None if one is unknown."""
    if plain is None or partial is None:
        return None
    return (plain[0] > 0 and not partial[0] > 0) or (plain[1] < 0 and not partial[1] < 0)
