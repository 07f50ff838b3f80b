"""Robustness checks: the main analysis, and the same with one choice changed at a time."""

from functools import partial

import numpy as np

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.statistics.core.bootstrap import draw_resamples, resample
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.leakage.even_spread import leave_out_even
from persona_leakage.statistics.leakage.robustness_checks import (
    HALVES,
    Main,
    check_fire,
    check_gain_adjusted,
    check_half_panels,
    check_held_out,
    check_layer,
    check_log_odds,
    check_main,
    check_pairs,
    check_raw_cosine,
    check_without_source,
    nothing,
    source_correlations,
    spread_cosines,
)
from persona_leakage.tables.question_counts import spread

SCALES = {"log_odds": "r", "gain_adjusted": "r", "fire": "AUC"}  # of the checks that are no rank correlation
RHO, NO_EFFECT = "rho", {"rho": 0.0, "r": 0.0, "AUC": 0.5}
COSINE_TOLERANCE = 1e-5


def describe_robustness(table, headline_layer, samples, counts=None, centroids=None, held_out=None):
    """The content of robustness.json without its meta: {"headline_layer", "bootstraps", "halves", "summary", "checks", "undefined"}.

    table: pairs (see tables/read.py). samples: resamples behind every interval. counts: {"found", "total"} [sources, personas, questions]
    or None. centroids, held_out: {"personas", "centroids" [personas, hidden]} of the headline layer, from the questions that were
    evaluated and from others, or None. InputError if ``centroids`` does not give the table's cosines.
    """
    matrices = leave_out_even(matrices_of(table), counts)
    sources, _, problem = matrices.usable_sources()
    for option, content in (("--centroids", centroids), ("--held-out-centroids", held_out)):
        check_panel(matrices, option, content)
    if centroids and not problem:
        check_same_cosines(matrices, headline_layer, sources, centroids)
    main = None if problem else main_analysis(table, matrices, sources, headline_layer, samples, counts)
    checks = []
    for name, group, label, compute in list_checks(table, matrices, main, headline_layer, centroids, held_out):
        scale = SCALES.get(name, RHO)
        about = {"name": name, "group": group, "label": label, "scale": scale, "no_effect": NO_EFFECT[scale]}
        checks.append({**about, **(compute() if main else nothing(problem))})
    return {
        "headline_layer": headline_layer,
        "bootstraps": samples,
        "halves": HALVES,
        "summary": summarise(checks),
        "checks": checks,
        "undefined": problem,
    }


def main_analysis(table, matrices, sources, headline_layer, samples, counts):
    """The Main of a pairs table: all checks draw the same bystanders and questions."""
    draws = draw_resamples(matrices, sources, samples, derive_seed("statistics", "bootstrap"), counts)
    rhos = source_correlations(table, headline_layer, matrices.names(sources))
    return Main(matrices, matrices.layers.index(headline_layer), sources, rhos, draws, resample(matrices, sources, draws))


def check_panel(matrices, option, content):
    """InputError if centroids lack a persona of the table."""
    missing = sorted({*matrices.personas, *matrices.sources} - set(content["personas"])) if content else []
    if missing:
        raise InputError(f"{option}: has no centroid of '{missing[0]}', which is in the pairs table")


def check_same_cosines(matrices, headline_layer, sources, centroids):
    """InputError unless the centroids give the table's cosines at the headline layer, up to rounding."""
    known = matrices.cosines["cosine"][matrices.layers.index(headline_layer)]
    found = spread_cosines(matrices, centroids["personas"], centroids["centroids"], centred=True)
    for source, persona in np.argwhere(np.abs(found - known) > COSINE_TOLERANCE):
        if source in sources:
            pair = f"'{matrices.sources[source]}' and '{matrices.personas[persona]}'"
            raise InputError(
                f"--centroids: cosine of {pair} at layer {headline_layer} is {found[source, persona]:.6f}; "
                f"the pairs table has {known[source, persona]:.6f}. Give the centroids that the table was made from."
            )


def list_checks(table, matrices, main, headline_layer, centroids, held_out):
    """[(name, group, label, how to compute it)] of all checks, in the order of the table; the last is called only with a Main."""
    rows = [("main", "main", "main analysis", partial(check_main, main))]
    for name, (label, dropped, if_none) in bystander_masks(table, matrices).items():
        rows.append((name, "bystanders", label, partial(check_pairs, main, dropped, if_none)))
    for row, name in enumerate(matrices.names(main.sources) if main else matrices.sources):
        rows.append((f"without_source/{name}", "sources", f"without source {spaced(name)}", partial(check_without_source, main, row)))
    for category in sorted(set(matrices.categories) - {None}):
        dropped = np.broadcast_to(matrices.categories == category, matrices.rate.shape)
        compute = partial(check_pairs, main, dropped, "no bystander of the sources that are used is of this category")
        rows.append((f"without_category/{category}", "categories", f"without category {spaced(category)}", compute))
    for layer in matrices.layers:
        if layer != headline_layer:
            rows.append((f"layer/{layer}", "layers", f"layer {layer}", partial(check_layer, main, table, layer)))
    return [
        *rows,
        ("raw_cosine", "cosines", "cosine not centred on the panel", partial(check_raw_cosine, main)),
        ("half_panel", "cosines", f"cosine centred on half of the panel, {HALVES} times", partial(check_half_panels, main, centroids)),
        ("held_out_questions", "cosines", "centroids of questions not evaluated", partial(check_held_out, main, held_out)),
        ("log_odds", "statistics", "Pearson's r with log-odds of leakage", partial(check_log_odds, main)),
        ("gain_adjusted", "statistics", "gain-adjusted double-centred r", partial(check_gain_adjusted, main)),
        ("fire", "statistics", "AUC, some leakage against none", partial(check_fire, main)),
    ]


def spaced(name):
    """A name in words."""
    return name.replace("_", " ")


def bystander_masks(table, matrices):
    """{name: (label, the pairs to leave out as bool [sources, personas], what to say if there are none)}."""
    shape, related = matrices.rate.shape, matrices.related
    if "negative" in table:
        axes = {"source": matrices.sources, "persona": matrices.personas}
        negative = spread(table, axes, "negative") == 1
        no_negative = "no bystander served as a negative"
    else:
        negative, no_negative = np.zeros(shape, dtype=bool), "the table has no column negative"
    of_any = np.broadcast_to(related.any(axis=0), shape)
    of_sources = np.broadcast_to(np.isin(matrices.personas, matrices.sources), shape)
    return {
        "without_negatives": ("without the trained negatives", negative, no_negative),
        "without_relatives": ("without relatives of the source", related, "no bystander is a relative of its source"),
        "without_any_relatives": ("without relatives of any source", of_any, "no bystander is a relative of a source"),
        "without_sources": ("without the other sources", of_sources, "no source is a bystander of another"),
        "non_zero": ("only pairs with leakage above 0", ~(matrices.leakage > 0), "every pair has leakage above 0"),
    }


def summarise(checks):
    """What the checks on the main scale say together: {"checks", "lowest", "highest", "intervals", "intervals_above_zero"}.

    lowest, highest: {"name", "label", "estimate"} among the checks that are defined, the main analysis apart.
    """
    defined = [check for check in checks if check["scale"] == RHO and check["name"] != "main" and check["estimate"] is not None]
    ends = {key: None for key in ("lowest", "highest")}
    if defined:
        for key, choose in (("lowest", min), ("highest", max)):
            ends[key] = {part: choose(defined, key=lambda check: check["estimate"])[part] for part in ("name", "label", "estimate")}
    intervals = [check["interval"] for check in defined if check["interval"]]
    return {
        "checks": len(defined),
        **ends,
        "intervals": len(intervals),
        "intervals_above_zero": sum(interval[0] > 0 for interval in intervals),
    }
