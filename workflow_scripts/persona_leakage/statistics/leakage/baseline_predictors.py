"""Baseline predictors of leakage: when each is known, each alone, and the partial correlation of the cosine given all of them.

Their names are those of correlation.json (baseline_predictors) and predictors.json; docs/statistics.md explains each.
"""

import numpy as np
from scipy import stats

from persona_leakage.infrastructure.intervals import correlation_interval, interval_over, jackknife_error
from persona_leakage.infrastructure.undefined import undefined
from persona_leakage.statistics.core.permutation import permutation_test, rank_products
from persona_leakage.statistics.core.ranks import standard_ranks, standardise

SAME_GEOMETRY = ("cosine_raw", "cosine_whitened")  # other cosines of the same centroids: no alternative explanation
AFTER_TRAINING = ("mean_leakage_other_sources",)  # made of the leakage that other sources' adapters cause
SUMMARIES = ("output_similarity",)  # the mean of two other predictors: as a control it would add nothing but a degree of freedom
SIMILARITIES = ("word_similarity", "char_similarity", "embedding_similarity")
DIVERGENCES = {
    "output_similarity_source_replies": "js_source_replies",
    "output_similarity_bystander_replies": "js_bystander_replies",
}
PARTIALS = ("partial", "partial_without_raw_cosine", "partial_linear", "partial_before_training")
ALONE_KEYS = ("per_source", "mean_rho", "p")
PARTIAL_KEYS = ("controls", "per_source", "mean_rho", "interval", "interval_over_sources", "p", "p_max_t")
AT_ONCE = 2_000_000  # values of controls that the jackknife holds in memory at once (16 MB)


def baseline_predictors(matrices, sources):
    """({name: [layers, sources, bystanders]}, {name: why it is missing}) over the common bystanders.

    A predictor is missing where the table lacks its column or a value, and where it is the same for all bystanders of a source.
    base_outcome, the rate without adapter, is one only where it is above 0 for some persona.
    """
    shape = len(matrices.layers), len(sources), len(matrices.bystanders)
    found = {**lengths(matrices, sources), **similarities(matrices, sources)}
    if matrices.began_above_zero:
        found["base_outcome"] = np.tile(matrices.base[matrices.bystanders], (len(sources), 1))
    several = len(sources) > 1
    found["mean_leakage_other_sources"] = over_other_sources(matrices.common(matrices.leakage, sources)) if several else "one source"
    baselines, reasons = {}, {}
    for name, values in found.items():
        if isinstance(values, str):
            reasons[name] = values
        elif np.isnan(values).any():
            reasons[name] = "missing for a pair"
        elif (np.ptp(values, axis=-1) == 0).any():
            reasons[name] = "the same for all bystanders of a source"
        else:
            baselines[name] = np.broadcast_to(values, shape)
    return baselines, reasons


def lengths(matrices, sources):
    """{name: [sources, bystanders], or why it is missing}: tokens of the prompt and of the base model's replies.

    length_similarity: minus the difference in reply length between bystander and source, in tokens.
    """
    rows = [matrices.personas.index(matrices.sources[index]) for index in sources]
    replies = matrices.base_reply_tokens
    found = {
        name: "no such column" if values is None else np.tile(values[matrices.bystanders], (len(sources), 1))
        for name, values in (("prompt_tokens", matrices.prompt_tokens), ("base_reply_tokens", replies))
    }
    if replies is None:
        found["length_similarity"] = "needs base_reply_tokens: no such column"
    elif np.isnan(replies[rows]).any():
        found["length_similarity"] = "a source's own reply length is unknown (source_base_reply_tokens)"
    else:
        found["length_similarity"] = -np.abs(replies[matrices.bystanders] - replies[rows][:, None])
    return found


def similarities(matrices, sources):
    """{name: [layers, sources, bystanders], or why it is missing}: similarities of source and bystander, larger for more alike ones.

    output_similarity_*: one minus the Jensen-Shannon divergence in bits, along the replies of either; output_similarity: their mean.
    """

    def column(name):
        return matrices.common(matrices.cosines[name], sources) if name in matrices.cosines else "no such column"

    found = {name: column(name) for name in SIMILARITIES}
    for name, divergence in DIVERGENCES.items():
        values = column(divergence)
        found[name] = values if isinstance(values, str) else 1 - values
    both = [found[name] for name in DIVERGENCES]
    known = not any(isinstance(values, str) for values in both)
    found["output_similarity"] = sum(both) / 2 if known else "needs both divergences: no such columns"
    return {**found, **{name: column(name) for name in SAME_GEOMETRY}}


def over_other_sources(values):
    """Each bystander's mean of ``values`` [S, M] over the other sources: [S, M]."""
    return (values.sum(axis=0) - values) / (len(values) - 1)


def controls_of(baselines, *without):
    """The baselines that a partial correlation takes as controls: all but SUMMARIES and those in ``without``."""
    return {name: values for name, values in baselines.items() if name not in {*SUMMARIES, *without}}


def plain_baselines(matrices, sources, baselines):
    """The controls of partial_linear: all but other cosines of the same geometry; rates among them in log-odds, as leakage is."""
    plain = controls_of(baselines, *SAME_GEOMETRY)
    of_logits = {
        "mean_leakage_other_sources": lambda: over_other_sources(matrices.common(matrices.logits(), sources)),
        "base_outcome": lambda: matrices.common(matrices.base_logits(), sources),
    }
    return {name: np.broadcast_to(of_logits[name](), values.shape) if name in of_logits else values for name, values in plain.items()}


def plain_values(matrices, sources):
    """plain_baselines as one array [layers, S, k, M] over the common bystanders, or None if there are none."""
    baselines, _ = baseline_predictors(matrices, sources)
    plain = plain_baselines(matrices, sources, baselines)
    return np.stack(list(plain.values()), axis=-2) if plain else None


def describe_baselines(matrices, sources, permutations):
    """The block "baseline_predictors" of every layer: each predictor alone, and cosine's partial correlation given the others.

    partial: of ranks, given all baselines; partial_without_raw_cosine: given all but other cosines of the same geometry;
    partial_linear: as that one, of plain values: cosine and log-odds. Correlations of ranks do not add up as
    plain ones do, so several strong baselines together leave a part of their effect in the ranks: partial_linear is tested.
    partial_before_training: as partial_linear, given only what is known before any adapter is trained.
    """
    cosines, rates, logits = (
        matrices.common(values, sources) for values in (matrices.cosines["cosine"], matrices.leakage, matrices.logits())
    )
    baselines, reasons = baseline_predictors(matrices, sources)
    names = matrices.names(sources)
    alone = {name: describe_alone(values, rates, names, permutations) for name, values in {"cosine": cosines, **baselines}.items()}
    every, others = controls_of(baselines), controls_of(baselines, *SAME_GEOMETRY)
    plain = plain_baselines(matrices, sources, baselines)
    partials = {
        "partial": describe_partial(cosines, rates, every, names, permutations, stats.rankdata),
        "partial_without_raw_cosine": describe_partial(cosines, rates, others, names, permutations, stats.rankdata),
        "partial_linear": describe_partial(cosines, logits, plain, names, permutations, as_they_are),
        "partial_before_training": describe_partial(cosines, logits, controls_of(plain, *AFTER_TRAINING), names, permutations, as_they_are),
    }
    return [
        {
            "alone": {name: blocks[index] for name, blocks in alone.items()},
            **{name: blocks[index] for name, blocks in partials.items()},
            "left_out": reasons,
            "undefined": None,
        }
        for index in range(len(matrices.layers))
    ]


def describe_alone(values, rates, names, permutations, groups=None):
    """One predictor alone [layers, S, M]: per layer the mean within-source Spearman correlation and its permutation p.

    groups: as permutation_test.
    """
    test = permutation_test(rank_products(values, rates), permutations, groups)
    per_source = np.einsum("lsm,sm->ls", standard_ranks(values), standard_ranks(rates))
    return [
        {
            "per_source": dict(zip(names, row.tolist(), strict=True)),
            "mean_rho": float(row.mean()),
            "p": test[index]["p"] if test else None,
        }
        for index, row in enumerate(per_source)
    ]


def residuals_of(values, controls, scores):
    """Scores of ``values`` [..., M] minus their regression on those of ``controls`` [..., k, M] and a constant, scaled to length one.

    scores(values, axis): the ranks, or the values themselves. Controls may depend on each other; a row that they
    determine wholly becomes NaN.
    """
    values = standardise(scores(values, axis=-1).astype(float))
    design = np.nan_to_num(standardise(scores(controls, axis=-1).astype(float)))
    basis, scale, _ = np.linalg.svd(np.swapaxes(design, -1, -2), full_matrices=False)
    basis = np.where(scale[..., None, :] > 1e-9, basis, 0)
    residuals = values - (basis @ (np.swapaxes(basis, -1, -2) @ values[..., None]))[..., 0]
    return standardise(np.where(np.abs(residuals) < 1e-9, 0, residuals))


def describe_partial(x, y, controls, names, permutations, scores, groups=None, units=None):
    """Partial correlation of the ``scores`` (see residuals_of) of cosine and leakage given ``controls``, per layer.

    x [layers, S, M], y [S, M], controls {name: [layers, S, M]}, names of the S sources. Per source with Student's t on n - 2 - k
    degrees of freedom; their mean with a permutation test of the residuals (Kennedy 1995), allowing for
    the degrees of freedom that the controls took, and a jackknife interval over bystanders. groups: as permutation_test;
    units [M]: labels of the bystanders that belong together, so that the jackknife leaves them out together.
    """
    if not controls:
        return [undefined("no baseline predictor", *PARTIAL_KEYS)] * len(x)
    titles, controls = list(controls), np.stack(list(controls.values()))
    size, freedom = y.shape[1], y.shape[1] - 2 - len(controls)
    if freedom < 1:
        return [undefined(f"{size} bystanders are too few for {len(controls)} controls", *PARTIAL_KEYS)] * len(x)
    controls = np.moveaxis(controls, 0, -2)
    rx, ry = (residuals_of(values, controls, scores) for values in (x, np.broadcast_to(y, x.shape)))
    if np.isnan(rx).any() or np.isnan(ry).any():
        return [undefined("the controls determine cosine or leakage wholly", *PARTIAL_KEYS)] * len(x)
    products = np.einsum("lsp,lsq->lpq", ry, rx, optimize=True) / len(y)
    test = permutation_test(products, permutations, groups, inflation=np.sqrt((size - 1) / (freedom + 1)))
    units = np.arange(size) if units is None else units
    blocks = []
    for index, rhos in enumerate((rx * ry).sum(axis=-1)):
        mean, error = float(rhos.mean()), jackknife_error(leave_out_units(x[index], y, controls[index], scores, units))
        chance = test[index] if test else {"p": None, "p_max_t": None}
        blocks.append(
            {
                "controls": titles,
                "per_source": {name: {"rho": float(rho), "p": t_test(rho, freedom)} for name, rho in zip(names, rhos, strict=True)},
                "mean_rho": mean,
                "interval": correlation_interval(mean, error, len(np.unique(units)) - 1),
                "interval_over_sources": interval_over(rhos),
                "p": chance["p"],
                "p_max_t": chance["p_max_t"],
                "undefined": None,
            }
        )
    return blocks


def as_they_are(values, axis):
    """The scores of plain values (see residuals_of)."""
    return values


def t_test(rho, freedom):
    """Two-sided p of a (partial) correlation."""
    return float(2 * stats.t.sf(abs(rho) * np.sqrt(freedom / max(1e-300, 1 - rho**2)), freedom))


def leave_out_units(x, y, controls, scores, units):
    """Mean partial correlation over the sources without the bystanders of each unit in turn: x, y [S, M], controls [S, k, M] -> [units]."""
    _, unit_of, sizes = np.unique(units, return_inverse=True, return_counts=True)
    found = np.empty(len(sizes))
    at_once = max(1, AT_ONCE // controls.size)
    for size in np.unique(sizes):
        alike = np.flatnonzero(sizes == size)
        for part in np.split(alike, range(at_once, len(alike), at_once)):
            kept = np.stack([np.flatnonzero(unit_of != unit) for unit in part])  # [units, bystanders that stay]
            fewer = np.moveaxis(controls[:, :, kept], 1, -2)
            rx, ry = residuals_of(np.stack([x[:, kept], y[:, kept]]), fewer, scores)
            found[part] = (rx * ry).sum(axis=-1).mean(axis=0)
    return found
