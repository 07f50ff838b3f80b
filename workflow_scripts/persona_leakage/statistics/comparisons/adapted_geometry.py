"""How training changes the geometry: cosines in the adapted model, and how far each persona's centroid moves towards the source."""

from dataclasses import replace

import numpy as np
import pandas as pd

from persona_leakage.geometry.cosine import cosine_matrix
from persona_leakage.infrastructure.intervals import plain_interval
from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.infrastructure.undefined import finite, undefined
from persona_leakage.statistics.core.bootstrap import describe_difference, describe_mean, describe_source, draw_bootstrap, variance
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.core.permutation import draw_permutations, generator_of, layer_of, permutation_test, rank_products
from persona_leakage.statistics.leakage.baseline_predictors import ALONE_KEYS, describe_alone
from persona_leakage.statistics.leakage.correlations import correlate, leakage_of
from persona_leakage.statistics.leakage.even_spread import leave_out_even
from persona_leakage.statistics.leakage.permuted_sources import draw_permuted_sources, mean_test, permuted_layer, rank_correlations

MOVEMENTS = ("moved", "towards", "towards_beyond_panel", "direction", "alike")
STATES = ("base", "adapted")
TINY = 1e-9


def adapted_pairs(pairs, base, adapted):
    """The rows of a pairs table with columns from the adapted models' centroids: (DataFrame, {layer: {source: its own "moved"}}).

    base: {layer: {"personas", "centroids" [personas, hidden]}}; adapted: {source: the same}. Additional columns:
    cosine_adapted (centred on the panel in the adapted model), cosine_adapted_raw, and MOVEMENTS (see measure_movement).
    """
    frames, moved_themselves = [], {}
    for (layer, source), rows in pairs.groupby(["layer", "source"], sort=False):
        before, after = base[layer], adapted[source][layer]
        names = before["personas"]
        origin, indices = names.index(source), [names.index(name) for name in rows["persona"]]
        movement = measure_movement(before["centroids"], after["centroids"], origin)
        columns = {
            "cosine_adapted": cosine_matrix(after["centroids"], centred=True)[origin],
            "cosine_adapted_raw": cosine_matrix(after["centroids"], centred=False)[origin],
            **movement,
        }
        frames.append(rows.assign(**{name: values[indices] for name, values in columns.items()}))
        moved_themselves.setdefault(str(layer), {})[source] = finite(movement["moved"][origin])
    return pd.concat(frames, ignore_index=True), moved_themselves


def measure_movement(before, after, origin):
    """How the centroids of a panel move under the adapter of the persona at index ``origin``: {name: float64 [personas]}.

    before, after: [personas, hidden]. With d a persona's displacement and u the way from its base centroid to the source's:
    moved = |d| over the panel's spread (root mean square distance of the base centroids from their mean); towards = d.u / |u|^2,
    the share of the way gone (1: arrived); towards_beyond_panel = the same for d minus the panel's mean displacement, because a
    movement common to all personas brings none closer than the others; direction = cosine of d and u; alike = cosine of d and the source's
    own d. NaN where a length is zero: at the source itself, or where nothing moves.
    """
    before, after = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    displacement, way = after - before, before[origin] - before
    spread = np.sqrt(((before - before.mean(axis=0)) ** 2).sum(axis=1).mean())
    beyond = displacement - displacement.mean(axis=0)
    lengths, distances = np.linalg.norm(displacement, axis=1), np.linalg.norm(way, axis=1)

    def over(values, scale):
        return np.divide(values, scale, out=np.full(len(values), np.nan), where=scale > TINY)

    return {
        "moved": lengths / spread,
        "towards": over((displacement * way).sum(axis=1), distances**2),
        "towards_beyond_panel": over((beyond * way).sum(axis=1), distances**2),
        "direction": over((displacement * way).sum(axis=1), lengths * distances),
        "alike": over(displacement @ displacement[origin], lengths * lengths[origin]),
    }


def panel_cosines(personas, base, adapted):
    """(base, {source: adapted}) cosines between all personas [layers, personas, personas]; arguments as adapted_pairs."""

    def between(layers):
        found = []
        for layer in sorted(base):
            indices = [layers[layer]["personas"].index(name) for name in personas]
            found.append(cosine_matrix(layers[layer]["centroids"], centred=True)[np.ix_(indices, indices)])
        return np.stack(found)

    return between(base), {source: between(layers) for source, layers in adapted.items()}


def compare_geometries(table, moved_themselves, panels, options, counts=None):
    """The content of adapted_geometry.json without its meta, from the table of adapted_pairs.

    panels: of panel_cosines. moved_themselves: {layer: {source: how far its own centroid moved}}. options: "permutations", "bootstraps".
    counts: as draw_bootstrap takes them.
    """
    states = {
        state: matrices_of(table.assign(cosine=table[column])) for state, column in zip(STATES, ("cosine", "cosine_adapted"), strict=True)
    }
    base = states["base"] = leave_out_even(states["base"], counts)
    size = len(base.layers)
    both = replace(
        base,
        layers=[f"{layer}, {state}" for state in STATES for layer in base.layers],
        cosines={"cosine": np.concatenate([matrices.cosines["cosine"] for matrices in states.values()])},
        missing={**base.missing, **states["adapted"].missing},
    )
    layers = {str(layer): describe_sources(rows, moved_themselves[str(layer)], base) for layer, rows in table.groupby("layer", sort=True)}
    sources, reasons, problem = both.usable_sources()
    joint = {"sources": both.names(sources), "sources_left_out": reasons, "undefined": problem}
    if problem:
        for block in layers.values():
            block["joint"] = undefined(problem, *STATES, "difference", "movement")
        return {"joint": joint, "layers": layers}
    bootstrap = draw_bootstrap(both, sources, options["bootstraps"], derive_seed("statistics", "bootstrap"), counts)
    permutations = draw_permutations(generator_of("adapted geometry"), len(both.bystanders), options["permutations"])
    tests = paired_test(both, sources, size, permutations)
    permuted = permuted_states(base, sources, panels, options["permutations"])
    movements = {name: describe_movement(table, name, both, sources, permutations) for name in MOVEMENTS}
    for index, block in enumerate(layers.values()):
        rhos = [[block["per_source"][name][state]["rho"] for name in joint["sources"]] for state in STATES]
        difference = describe_difference(bootstrap, index + size, index, rhos[1], rhos[0])
        test, by_permuted = layer_of(tests, index, "both states rank the bystanders alike"), permuted["difference"][index]
        better = better_state(difference, (test, by_permuted))
        block["joint"] = {
            **{state: describe_mean(bootstrap, index + size * late, rhos[late]) for late, state in enumerate(STATES)},
            "difference": {**difference, "test": test, "permuted_sources": by_permuted, "better": better},
            "permuted_sources": {state: permuted[state][index] for state in STATES},
            "movement": {name: found[index] for name, found in movements.items()},
            "undefined": None,
        }
        for row, source in enumerate(joint["sources"]):
            add_intervals(block["per_source"][source], bootstrap, index, size, row)
    return {"joint": joint, "layers": layers}


def describe_sources(rows, moved_themselves, base):
    """{"per_source"} of one layer: each state's correlation with leakage, their difference, and the mean movement of the bystanders.

    base: the PairMatrices, whose even sources have no correlation.
    """
    blocks = {}
    for source, pairs in rows.groupby("source", sort=False):
        found = {}
        for state, column in zip(STATES, ("cosine", "cosine_adapted"), strict=True):
            result = correlate(pairs[column], leakage_of(pairs))
            if source in base.even:
                result = undefined(base.missing[source], *result)
            found[state] = {"rho": result["spearman_rho"], "interval": None, "undefined": result["undefined"]}
        known = all(found[state]["rho"] is not None for state in STATES)
        blocks[source] = {
            "n": len(pairs),
            **found,
            "difference": found["adapted"]["rho"] - found["base"]["rho"] if known else None,
            "difference_interval": None,
            "between_states": correlate(pairs["cosine"], pairs["cosine_adapted"])["spearman_rho"],
            "mean_movement": {name: finite(pairs[name].mean(skipna=False)) for name in MOVEMENTS},
            "moved_itself": moved_themselves[source],
        }
    return {"per_source": blocks}


def add_intervals(block, bootstrap, index, size, row):
    """Intervals over bystanders of one source's two correlations and of their difference, from the same resamples."""
    for late, state in enumerate(STATES):
        block[state]["interval"] = describe_source(bootstrap, index + size * late, row, block[state]["rho"])
    base, adapted = (bootstrap.drawn["bystanders"][layer, row] for layer in (index, index + size))
    block["difference_interval"] = plain_interval(block["difference"], variance(adapted - base) ** 0.5, bootstrap.sizes[row] - 1)


def permuted_states(base, sources, panels, count):
    """{state or "difference": permuted_layer of each layer}: would other personas' geometry predict as well, and differ as much?

    The same persona replaces the source in the base model and in that source's adapted model.
    """
    before, after = panels
    chosen, problem = draw_permuted_sources(base, sources, before, count, generator_of("adapted stand-ins"))
    if chosen is None:
        return {name: [permuted_layer(None, None, problem, 0)] * len(before) for name in (*STATES, "difference")}
    of_base = rank_correlations(base, sources, chosen.cosines, chosen.personas)
    each = [rank_correlations(base, [source], after[base.sources[source]], chosen.personas) for source in sources]
    found = {"base": of_base, "adapted": np.concatenate(each, axis=2)}
    found["difference"] = found["adapted"] - of_base
    tests = {name: mean_test(values, chosen) for name, values in found.items()}
    return {name: [permuted_layer(test, chosen, None, index) for index in range(len(before))] for name, test in tests.items()}


def better_state(difference, tests):
    """Which state predicts better, if both ``tests`` and the paired interval of the difference of the correlations agree."""
    interval, shown = difference["interval"], all(test["p_max_t"] is not None and test["p_max_t"] < 0.05 for test in tests)
    if not shown or interval is None or not interval[0] * interval[1] > 0:
        return "cannot tell"
    return "adapted" if difference["difference"] > 0 else "base"


def paired_test(both, sources, size, permutations):
    """Is the difference of the two mean correlations more than chance? permutation_test on the difference of the ranks, per layer.

    The statistic is the difference of the mean within-source correlations. If what the two geometries disagree on has
    nothing to do with leakage, the bystanders' differences in rank may be given to any other bystander, for all sources at once.
    """
    cosines, rates = (both.common(values, sources) for values in (both.cosines["cosine"], both.leakage))
    return permutation_test(rank_products(cosines[size:], rates) - rank_products(cosines[:size], rates), permutations)


def describe_movement(table, name, both, sources, permutations):
    """A measure of movement as predictor of leakage over the common bystanders: a block per layer (describe_alone), or a reason."""
    values = both.common(matrices_of(table.assign(cosine=table[name])).cosines["cosine"], sources)
    if np.isnan(values).any():
        reason = "a centroid does not move, or a length is zero"
    elif (np.ptp(values, axis=-1) == 0).any():
        reason = "the same for all bystanders of a source"
    else:
        found = describe_alone(values, both.common(both.leakage, sources), both.names(sources), permutations)
        return [{**block, "undefined": None} for block in found]
    return [undefined(reason, *ALONE_KEYS)] * len(values)
