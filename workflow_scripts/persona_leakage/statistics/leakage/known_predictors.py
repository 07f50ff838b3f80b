"""The baseline predictors of leakage, and when each is known.

The names of the predictors are those of correlation.json (baseline_predictors) and predictors.json; docs/statistics.md explains each.
"""

import numpy as np

SAME_GEOMETRY = ("cosine_raw", "cosine_whitened")  # other cosines of the same centroids: no alternative explanation
AFTER_TRAINING = ("mean_leakage_other_sources",)  # made of the leakage that other sources' adapters cause
SUMMARIES = ("output_similarity",)  # the mean of two other predictors: as a control it would add nothing but a degree of freedom
SIMILARITIES = ("word_similarity", "char_similarity", "embedding_similarity")
DIVERGENCES = {
    "output_similarity_source_replies": "js_source_replies",
    "output_similarity_bystander_replies": "js_bystander_replies",
}


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

    output_similarity_*: one less the Jensen-Shannon divergence in bits, along the replies of either; output_similarity: their mean.
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
