"""Role or wording? Correlations within and across wording styles, over role means, wording as a baseline predictor, and variance parts."""

import numpy as np
from scipy import stats

from persona_leakage.infrastructure.intervals import wilson_interval
from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.infrastructure.undefined import undefined
from persona_leakage.statistics.comparisons.variance_components import KEYS as PART_KEYS
from persona_leakage.statistics.comparisons.variance_components import describe_parts
from persona_leakage.statistics.core.bootstrap import MEAN_KEYS, Bootstrap, describe_mean, describe_source
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.core.permutation import TEST_KEYS, draw_permutations, permutation_test, rank_products
from persona_leakage.statistics.leakage.baseline_predictors import ALONE_KEYS, PARTIAL_KEYS, describe_alone, describe_partial
from persona_leakage.statistics.leakage.correlations import correlate_sources

SURFACE = ("word_similarity", "char_similarity")
# The seeds of each subset are hashed from these labels. Another label would give other random numbers.
SEED_LABELS = {
    "all_pairs": "wordings all_pairs",
    "same_wording": "wordings same_wording",
    "other_wording": "wordings other_wording",
    "role_means": "wordings role_means",
}


def describe_wordings(table, cosines, roles, wordings, options, counts=None):
    """The content of wordings.json without its meta.

    table: the pairs of one layer; cosines: its rows of cosines.csv; roles, wordings: {persona: its role, its wording}, of
    those that have them; options: "permutations" and "bootstraps"; counts: {"found", "total"} [sources, personas,
    questions] on the axes of matrices_of(table), or None. Pairs in which a persona has no role are excluded.
    """
    kept = table[table["source"].isin(roles) & table["persona"].isin(roles)]
    pairs = kept.assign(
        role=kept["persona"].map(roles),
        same_role=kept["persona"].map(roles) == kept["source"].map(roles),
        wording=kept["persona"].map(wordings),
        same_wording=kept["persona"].map(wordings) == kept["source"].map(wordings),
    )
    left_out = sorted({*table["source"], *table["persona"]} - set(roles))
    result = {"roles": len(set(roles.values())), "styles": sorted(set(wordings.values())), "without_role": left_out}
    if pairs.empty:
        return {**result, "undefined": "no source has a role"}
    strangers = pairs[~pairs["same_role"]]
    subsets = {
        "all_pairs": pairs,
        "same_wording": strangers[strangers["same_wording"]],
        "other_wording": strangers[~strangers["same_wording"]],
        "role_means": average_over_wordings(strangers),
    }
    summaries = {name: summarise_table(rows, options, SEED_LABELS[name]) for name, rows in subsets.items() if len(rows)}
    # This test relabels single personas, as if the wordings of a role were independent.
    summaries["all_pairs"]["association"] = undefined("see association_of_roles", *TEST_KEYS)
    return {
        **result,
        **summaries,
        "within_each": {style: summarise_table(rows, options, f"wording {style}") for style, rows in strangers.groupby("wording")},
        **compare_with_wording(pairs, roles, wordings, options["permutations"]),
        "parts": describe_spread(pairs, roles, wordings, counts, matrices_of(table)),
        "other_wording_of_the_source": describe_twins(pairs),
        "geometry": describe_geometry(cosines, roles, wordings),
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
        bootstrap = Bootstrap(matrices, sources, options["bootstraps"], derive_seed("statistics", purpose, "bootstrap"))
        names = [matrices.sources[index] for index in sources]
        for row, name in enumerate(names):
            per_source[name]["interval"] = describe_source(bootstrap, 0, row, per_source[name]["rho"])
        mean = describe_mean(bootstrap, 0, [per_source[name]["rho"] for name in names])
        test = association(matrices, sources, options["permutations"], purpose)
    return {"per_source": per_source, "mean": mean, "association": test, "sources_left_out": reasons}


def association(matrices, sources, count, purpose):
    """Joint permutation test of the mean correlation."""
    chosen = np.ix_(sources, matrices.bystanders)
    products = rank_products(matrices.cosines["cosine"][0][chosen][None], matrices.leakage[chosen])
    generator = np.random.default_rng(derive_seed("statistics", purpose))
    test = permutation_test(products, draw_permutations(generator, len(matrices.bystanders), count))
    return {**test[0], "undefined": None} if test else undefined("all relabellings give the same", *TEST_KEYS)


def average_over_wordings(pairs):
    """Pairs of source and role: cosine averaged over the role's wordings, replies added up; categories by the first wording."""
    groups = pairs.groupby(["layer", "source", "role"], sort=False)
    means = groups.agg(
        category=("category", "first"), cosine=("cosine", "mean"), found=("found", "sum"), total=("total", "sum")
    ).reset_index()
    means = means.rename(columns={"role": "persona"}).assign(related=False)
    return means.assign(rate=means["found"] / means["total"])


def draw_role_permutations(generator, roles, wordings, count):
    """(permutations [count, n] that exchange whole roles, each wording for the same wording, groups [n] that they keep apart).

    roles, wordings [n]: of the personas. Roles are exchanged with those that have the same wordings.
    """
    indices = np.tile(np.arange(len(roles)), (count, 1))
    groups = np.empty(len(roles), dtype=object)
    members = {role: np.flatnonzero(roles == role) for role in np.unique(roles)}
    members = {role: found[np.argsort(wordings[found], kind="stable")] for role, found in members.items()}
    kinds = {role: tuple(wordings[found]) for role, found in members.items()}
    for kind in sorted(set(kinds.values())):
        grid = np.array([found for role, found in members.items() if kinds[role] == kind])
        order = generator.permuted(np.tile(np.arange(len(grid)), (count, 1)), axis=1)
        indices[:, grid] = grid[order]
        for column, wording in enumerate(kind):
            groups[grid[:, column]] = f"{wording}, {column} of {kind}"
    return indices, groups.astype(str)


def compare_with_wording(pairs, roles, wordings, permutations):
    """The blocks that set wording against closeness, over the bystanders common to all sources.

    association_of_roles: the test of all pairs in which whole roles are relabelled, each wording for the same wording.
    same_wording_alone: having the source's wording as a predictor, tested by relabelling within each role.
    given_same_wording, given_surface: partial rank correlations of closeness given same_wording, and given all that is
    known of the surface (same_wording, similarity of words and characters, length); whole roles are relabelled and left out.
    """
    matrices = matrices_of(pairs)
    sources, _, problem = matrices.usable_sources()
    partial = {"given_same_wording": PARTIAL_KEYS, "given_surface": PARTIAL_KEYS}
    if problem:
        empty = {"association_of_roles": TEST_KEYS, "same_wording_alone": ALONE_KEYS, **partial}
        return {name: undefined(problem, *keys) for name, keys in empty.items()}
    names = [matrices.sources[index] for index in sources]
    members = [matrices.personas[index] for index in matrices.bystanders]
    units, styles = (np.array([known[name] for name in members]) for known in (roles, wordings))
    chosen = np.ix_(sources, matrices.bystanders)
    rates, cosine = matrices.leakage[chosen], matrices.cosines["cosine"][0][chosen][None]
    generator = np.random.default_rng(derive_seed("statistics", "wording as a rival"))
    drawn, groups = draw_role_permutations(generator, units, styles, permutations)
    test = permutation_test(rank_products(cosine, rates), drawn, groups)
    result = {"association_of_roles": {**test[0], "undefined": None} if test else undefined("all relabellings give the same", *TEST_KEYS)}
    same = np.array([[wordings[name] == style for style in styles] for name in names], dtype=float)[None]
    if np.ptp(same, axis=-1).min() == 0:
        reason = "all common bystanders have the same wording"
        blocks = {"same_wording_alone": ALONE_KEYS, **partial}
        return {**result, **{name: undefined(reason, *keys) for name, keys in blocks.items()}}
    (alone,) = describe_alone(same, rates, names, draw_permutations(generator, len(units), permutations, units), units)
    for name, controls in (("given_same_wording", {}), ("given_surface", surface_of(matrices, chosen, cosine.shape))):
        controls = {"same_wording": same, **controls}
        (result[name],) = describe_partial(cosine, rates, controls, names, drawn, stats.rankdata, groups, units)
    return {**result, "same_wording_alone": {**alone, "undefined": None}}


def surface_of(matrices, chosen, shape):
    """{name: values of ``shape`` [1, sources, bystanders]} of the other surface predictors that vary within each source."""
    surface = {name: matrices.cosines[name][0][chosen][None] for name in SURFACE if name in matrices.cosines}
    if matrices.prompt_tokens is not None:
        surface["prompt_tokens"] = np.broadcast_to(matrices.prompt_tokens[matrices.bystanders], shape)
    return {name: values for name, values in surface.items() if np.isfinite(values).all() and (np.ptp(values, axis=-1) > 0).all()}


def describe_spread(pairs, roles, wordings, counts, axes):
    """{"cosine", "leakage"}: variance parts (see describe_parts) over the common bystanders, for each usable source and on average.

    Noise of leakage: the variance of a rate over new replies to the same questions, from counts with two replies or more
    to each question. axes: the PairMatrices whose axes ``counts`` has.
    """
    matrices = matrices_of(pairs)
    sources, reasons, problem = matrices.usable_sources()
    if problem:
        nothing = {"per_series": {}, "mean": undefined(problem, *PART_KEYS), "undefined": problem}
        return {"cosine": nothing, "leakage": nothing}
    names = [matrices.sources[index] for index in sources]
    members = [matrices.personas[index] for index in matrices.bystanders]
    design = np.array([roles[name] for name in members]), np.array([wordings[name] for name in members])
    chosen = np.ix_(sources, matrices.bystanders)
    noise = None
    if counts is not None and (np.nan_to_num(counts["total"], nan=2) > 1).all():
        indices = np.ix_([axes.sources.index(name) for name in names], [axes.personas.index(name) for name in members])
        found, total = counts["found"][indices], counts["total"][indices]
        each = found * (total - found) / (total**2 * (total - 1)) * (total / total.sum(axis=-1, keepdims=True)) ** 2
        noise = each.sum(axis=-1).mean(axis=-1)
    parts = {
        "cosine": describe_parts(matrices.cosines["cosine"][0][chosen], names, *design, np.zeros(len(names))),
        "leakage": describe_parts(matrices.leakage[chosen], names, *design, noise),
    }
    left_out = {name: undefined(reason, *PART_KEYS) for name, reason in reasons.items()}
    return {name: {**block, "per_series": {**block["per_series"], **left_out}} for name, block in parts.items()}


def describe_twins(pairs):
    """{source: [the source's role in other wordings: rate, its interval, and its rank among the bystanders by rate and by cosine]}."""
    twins = {}
    for source, rows in pairs.groupby("source", sort=False):
        ranks = rows[["rate", "cosine"]].rank(ascending=False, method="min")
        twins[source] = [
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
    return twins


def describe_geometry(cosines, roles, wordings):
    """Mean cosine of two personas of the same role, of the same wording, and of neither; and whom a persona is nearest to.

    nearest_*: share of personas whose nearest other is of the same role, or of another role in the same wording; *_by_chance: what it
    would be if every other persona were equally likely.
    """
    rows = cosines[cosines["persona_a"].isin(roles) & cosines["persona_b"].isin(roles)]
    names = sorted(roles)
    role, style = (np.array([known[name] for name in names]) for known in (roles, wordings))
    index_of = {name: index for index, name in enumerate(names)}
    grid = np.full((len(names), len(names)), np.nan)
    first, second = rows["persona_a"].map(index_of), rows["persona_b"].map(index_of)
    grid[first, second] = grid[second, first] = rows["cosine"]
    others = ~np.eye(len(names), dtype=bool)
    same_role, same_style = (role[:, None] == role) & others, (style[:, None] == style) & (role[:, None] != role)
    kinds = {"same_role": same_role, "same_wording": same_style, "neither": others & ~same_role & ~same_style}
    nearest = np.where(others, grid, -np.inf).argmax(axis=1)
    everyone = np.arange(len(names))
    result = {name: {"mean": float(grid[kind].mean()), "pairs": int(kind.sum()) // 2} for name, kind in kinds.items() if kind.any()}
    for name in ("same_role", "same_wording"):
        result[f"nearest_is_{name}"] = float(kinds[name][everyone, nearest].mean())
        result[f"{name}_by_chance"] = float(kinds[name].sum() / others.sum())
    return result
