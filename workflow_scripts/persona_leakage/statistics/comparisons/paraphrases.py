"""Role or paraphrase? Correlations within and across paraphrases, over role means, and of the paraphrase alone; variance components."""

import numpy as np
from scipy import stats

from persona_leakage.infrastructure.intervals import wilson_interval
from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.infrastructure.undefined import undefined
from persona_leakage.statistics.comparisons.variance_components import KEYS as PART_KEYS
from persona_leakage.statistics.comparisons.variance_components import describe_parts
from persona_leakage.statistics.core.bootstrap import MEAN_KEYS, describe_mean, describe_source, draw_bootstrap
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.core.permutation import (
    TEST_KEYS,
    draw_permutations,
    generator_of,
    layer_of,
    permutation_test,
    rank_products,
)
from persona_leakage.statistics.leakage.baseline_predictors import ALONE_KEYS, PARTIAL_KEYS, describe_alone, describe_partial
from persona_leakage.statistics.leakage.correlations import correlate_sources
from persona_leakage.statistics.leakage.even_spread import reasons_of_even

SURFACE = ("word_similarity", "char_similarity")
# The seeds of each subset are hashed from these labels. Another label would give other random numbers.
SEED_LABELS = {
    "all_pairs": "wordings all_pairs",
    "same_paraphrase": "wordings same_wording",
    "other_paraphrase": "wordings other_wording",
    "role_means": "wordings role_means",
}


def compare_paraphrases(table, cosines, roles, paraphrases, options, counts=None):
    """The content of paraphrases.json without its meta.

    table: the pairs of one layer; cosines: its rows of cosines.csv; roles, paraphrases: {persona: its role, its paraphrase}, of
    those that have them; options: "permutations" and "bootstraps"; counts: {"found", "total"} [sources, personas,
    questions] on the axes of matrices_of(table), or None. Pairs in which a persona has no role are excluded. Even sources (see
    even_spread) have only the ranks of their other paraphrases.
    """
    kept = table[table["source"].isin(roles) & table["persona"].isin(roles)]
    pairs = kept.assign(
        role=kept["persona"].map(roles),
        same_role=kept["persona"].map(roles) == kept["source"].map(roles),
        paraphrase=kept["persona"].map(paraphrases),
        same_paraphrase=kept["persona"].map(paraphrases) == kept["source"].map(paraphrases),
    )
    left_out = sorted({*table["source"], *table["persona"]} - set(roles))
    axes = matrices_of(table)
    even = reasons_of_even(axes, counts)
    result = {"roles": len(set(roles.values())), "styles": sorted(set(paraphrases.values())), "without_role": left_out}
    if pairs.empty:
        return {**result, "undefined": "no source has a role"}
    others = rank_other_paraphrases(pairs)
    pairs = pairs[~pairs["source"].isin(even)]
    if pairs.empty:
        return {**result, "undefined": "; ".join(f"{source}: {reason}" for source, reason in even.items())}
    strangers = pairs[~pairs["same_role"]]
    subsets = {
        "all_pairs": pairs,
        "same_paraphrase": strangers[strangers["same_paraphrase"]],
        "other_paraphrase": strangers[~strangers["same_paraphrase"]],
        "role_means": average_over_paraphrases(strangers),
    }
    summaries = {name: summarise_table(rows, options, SEED_LABELS[name]) for name, rows in subsets.items() if len(rows)}
    within_each = {style: summarise_table(rows, options, f"wording {style}") for style, rows in strangers.groupby("paraphrase")}
    for block in (*summaries.values(), *within_each.values()):
        block["sources_left_out"] |= even
    # This test relabels single personas, as if the paraphrases of a role were independent.
    summaries["all_pairs"]["association"] = undefined("see association_of_roles", *TEST_KEYS)
    return {
        **result,
        **summaries,
        "within_each": within_each,
        **compare_with_paraphrase(pairs, roles, paraphrases, options["permutations"]),
        "parts": describe_spread(pairs, roles, paraphrases, counts, axes),
        "other_paraphrases_of_the_source": others,
        "geometry": describe_geometry(cosines, roles, paraphrases),
        "undefined": None,
    }


def summarise_table(table, options, purpose):
    """{"per_source", "mean", "association", "sources_left_out"} of the pairs of one layer.

    per_source: {source: {"rho", "interval", "n", "undefined"}}; mean: as describe_mean; association: the permutation test.
    options: "permutations" and "bootstraps"; purpose: what the seeds are hashed from.
    """
    matrices = matrices_of(table)
    sources, reasons, problem = matrices.usable_sources()
    blocks = correlate_sources(table)
    per_source = {
        name: {"rho": block["spearman_rho"], "interval": None, "n": block["n"], "undefined": block["undefined"]}
        for name, block in blocks.items()
    }
    if problem:
        mean, test = undefined(problem, *MEAN_KEYS), undefined(problem, *TEST_KEYS)
    else:
        bootstrap = draw_bootstrap(matrices, sources, options["bootstraps"], derive_seed("statistics", purpose, "bootstrap"))
        names = matrices.names(sources)
        for row, name in enumerate(names):
            per_source[name]["interval"] = describe_source(bootstrap, 0, row, per_source[name]["rho"])
        mean = describe_mean(bootstrap, 0, [per_source[name]["rho"] for name in names])
        permutations = draw_permutations(generator_of(purpose), len(matrices.bystanders), options["permutations"])
        test = layer_of(permutation_test(association_products(matrices, sources), permutations), 0)
    return {"per_source": per_source, "mean": mean, "association": test, "sources_left_out": reasons}


def association_products(matrices, sources):
    """What permutation_test takes for the mean correlation of cosine and leakage."""
    return rank_products(matrices.common(matrices.cosines["cosine"], sources), matrices.common(matrices.leakage, sources))


def average_over_paraphrases(pairs):
    """Pairs of source and role: cosine and mean scores averaged over the role's paraphrases, replies added up; category of the first."""
    groups = pairs.groupby(["layer", "source", "role"], sort=False)
    averaged = [name for name in ("base_rate", "outcome", "base_outcome", "leakage") if name in pairs]
    means = {name: (name, "mean") for name in averaged} | {name: (name, "sum") for name in ("scored",) if name in pairs}
    means |= {name: (name, "first") for name in pairs if name.startswith("source_") or name == "questions"} if "outcome" in pairs else {}
    means = groups.agg(
        category=("category", "first"), cosine=("cosine", "mean"), found=("found", "sum"), total=("total", "sum"), **means
    ).reset_index()
    means = means.rename(columns={"role": "persona"}).assign(related=False)
    return means.assign(rate=means["found"] / means["total"])


def draw_role_permutations(generator, roles, paraphrases, count):
    """(permutations [count, n] that exchange whole roles, each paraphrase for the same paraphrase, groups [n] that they keep apart).

    roles, paraphrases [n]: of the personas. Roles are exchanged with those that have the same paraphrases.
    """
    indices = np.tile(np.arange(len(roles)), (count, 1))
    groups = np.empty(len(roles), dtype=object)
    members = {role: np.flatnonzero(roles == role) for role in np.unique(roles)}
    members = {role: found[np.argsort(paraphrases[found], kind="stable")] for role, found in members.items()}
    kinds = {role: tuple(paraphrases[found]) for role, found in members.items()}
    for kind in sorted(set(kinds.values())):
        grid = np.array([found for role, found in members.items() if kinds[role] == kind])
        order = generator.permuted(np.tile(np.arange(len(grid)), (count, 1)), axis=1)
        indices[:, grid] = grid[order]
        for column, paraphrase in enumerate(kind):
            groups[grid[:, column]] = f"{paraphrase}, {column} of {kind}"
    return indices, groups.astype(str)


def compare_with_paraphrase(pairs, roles, paraphrases, permutations):
    """The blocks that compare paraphrase and closeness as predictors, over the bystanders common to all sources.

    association_of_roles: the test of all pairs in which whole roles are relabelled, each paraphrase for the same paraphrase.
    same_paraphrase_alone: having the source's paraphrase as a predictor, tested by relabelling within each role.
    given_same_paraphrase, given_surface: partial rank correlations of closeness given same_paraphrase, and given all that is
    known of the surface (same_paraphrase, similarity of words and characters, length); whole roles are relabelled and left out.
    """
    matrices = matrices_of(pairs)
    sources, _, problem = matrices.usable_sources()
    partial = {"given_same_paraphrase": PARTIAL_KEYS, "given_surface": PARTIAL_KEYS}
    if problem:
        empty = {"association_of_roles": TEST_KEYS, "same_paraphrase_alone": ALONE_KEYS, **partial}
        return {name: undefined(problem, *keys) for name, keys in empty.items()}
    names, members = matrices.names(sources), [matrices.personas[index] for index in matrices.bystanders]
    units, styles = (np.array([known[name] for name in members]) for known in (roles, paraphrases))
    rates, cosine = (matrices.common(values, sources) for values in (matrices.leakage, matrices.cosines["cosine"]))
    generator = generator_of("wording as a rival")  # renaming the label would change every draw
    drawn, groups = draw_role_permutations(generator, units, styles, permutations)
    result = {"association_of_roles": layer_of(permutation_test(association_products(matrices, sources), drawn, groups), 0)}
    same = np.array([[paraphrases[name] == style for style in styles] for name in names], dtype=float)[None]
    if np.ptp(same, axis=-1).min() == 0:
        reason = "all common bystanders have the same paraphrase"
        blocks = {"same_paraphrase_alone": ALONE_KEYS, **partial}
        return {**result, **{name: undefined(reason, *keys) for name, keys in blocks.items()}}
    (alone,) = describe_alone(same, rates, names, draw_permutations(generator, len(units), permutations, units), units)
    for name, controls in (("given_same_paraphrase", {}), ("given_surface", surface_of(matrices, sources, cosine.shape))):
        controls = {"same_paraphrase": same, **controls}
        (result[name],) = describe_partial(cosine, rates, controls, names, drawn, stats.rankdata, groups, units)
    return {**result, "same_paraphrase_alone": {**alone, "undefined": None}}


def surface_of(matrices, sources, shape):
    """{name: values of ``shape`` [1, sources, bystanders]} of the other surface predictors that vary within each source."""
    surface = {name: matrices.common(matrices.cosines[name], sources) for name in SURFACE if name in matrices.cosines}
    if matrices.prompt_tokens is not None:
        surface["prompt_tokens"] = np.broadcast_to(matrices.prompt_tokens[matrices.bystanders], shape)
    return {name: values for name, values in surface.items() if np.isfinite(values).all() and (np.ptp(values, axis=-1) > 0).all()}


def describe_spread(pairs, roles, paraphrases, counts, axes):
    """{"cosine", "leakage"}: variance parts (see describe_parts) over the common bystanders, for each usable source and on average.

    Noise of leakage: the variance of a rate over new replies to the same questions, from counts with two replies or more
    to each question. axes: the PairMatrices whose axes ``counts`` has.
    """
    matrices = matrices_of(pairs)
    sources, reasons, problem = matrices.usable_sources()
    if problem:
        nothing = {"per_series": {}, "mean": undefined(problem, *PART_KEYS), "undefined": problem}
        return {"cosine": nothing, "leakage": nothing}
    names, members = matrices.names(sources), [matrices.personas[index] for index in matrices.bystanders]
    design = np.array([roles[name] for name in members]), np.array([paraphrases[name] for name in members])
    noise = None
    if counts is not None and not matrices.linear and (np.nan_to_num(counts["total"], nan=2) > 1).all():
        indices = np.ix_([axes.sources.index(name) for name in names], [axes.personas.index(name) for name in members])
        found, total = counts["found"][indices], counts["total"][indices]
        each = found * (total - found) / (total**2 * (total - 1)) * (total / total.sum(axis=-1, keepdims=True)) ** 2
        noise = each.sum(axis=-1).mean(axis=-1)
    parts = {
        "cosine": describe_parts(matrices.common(matrices.cosines["cosine"][0], sources), names, *design, np.zeros(len(names))),
        "leakage": describe_parts(matrices.common(matrices.leakage, sources), names, *design, noise),
    }
    left_out = {name: undefined(reason, *PART_KEYS) for name, reason in reasons.items()}
    return {name: {**block, "per_series": {**block["per_series"], **left_out}} for name, block in parts.items()}


def rank_other_paraphrases(pairs):
    """{source: [the source's role in other paraphrases: rate, its interval, and its rank among the bystanders by rate and by cosine]}."""
    other_paraphrases = {}
    for source, rows in pairs.groupby("source", sort=False):
        ranks = rows[["rate", "cosine"]].rank(ascending=False, method="min")
        other_paraphrases[source] = [
            {
                "persona": row.persona,
                "rate": float(row.rate),
                "interval": wilson_interval(row.found, row.total),
                "source_rate": float(row.source_rate) if "source_rate" in rows else None,
                "cosine": float(row.cosine),
                "rate_rank": int(ranks.loc[row.Index, "rate"]),
                "cosine_rank": int(ranks.loc[row.Index, "cosine"]),
                "out_of": len(rows),
            }
            for row in rows[rows["same_role"]].dropna(subset=["rate", "cosine"]).itertuples()
        ]
    return other_paraphrases


def describe_geometry(cosines, roles, paraphrases):
    """Mean cosine of two personas of the same role, of the same paraphrase, and of neither; and whom a persona is nearest to.

    nearest_*: share of personas whose nearest other is of the same role, or of another role in the same paraphrase; *_by_chance: what it
    would be if every other persona were equally likely.
    """
    rows = cosines[cosines["persona_a"].isin(roles) & cosines["persona_b"].isin(roles)]
    names = sorted(roles)
    role, style = (np.array([known[name] for name in names]) for known in (roles, paraphrases))
    index_of = {name: index for index, name in enumerate(names)}
    grid = np.full((len(names), len(names)), np.nan)
    first, second = rows["persona_a"].map(index_of), rows["persona_b"].map(index_of)
    grid[first, second] = grid[second, first] = rows["cosine"]
    others = ~np.eye(len(names), dtype=bool)
    same_role, same_style = (role[:, None] == role) & others, (style[:, None] == style) & (role[:, None] != role)
    kinds = {"same_role": same_role, "same_paraphrase": same_style, "neither": others & ~same_role & ~same_style}
    nearest = np.where(others, grid, -np.inf).argmax(axis=1)
    everyone = np.arange(len(names))
    result = {name: {"mean": float(grid[kind].mean()), "pairs": int(kind.sum()) // 2} for name, kind in kinds.items() if kind.any()}
    for name in ("same_role", "same_paraphrase"):
        result[f"nearest_is_{name}"] = float(kinds[name][everyone, nearest].mean())
        result[f"{name}_by_chance"] = float(kinds[name].sum() / others.sum())
    return result
