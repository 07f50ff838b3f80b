"""Permuted-source tests: would the geometry of other personas predict leakage as well?

Relabelling the bystanders (permutation.py) treats them as exchangeable. But personas come in families with similar cosines and
similar leakage, so two unrelated smooth patterns correlate more often than relabelled ones. Here leakage stays fixed, and each
source's cosines are replaced with those of another persona, which are as smooth.
"""

from dataclasses import dataclass
from itertools import permutations
from math import factorial

import numpy as np

from persona_leakage.infrastructure.undefined import undefined
from persona_leakage.statistics.core.permutation import TEST_KEYS, compare_with_draws
from persona_leakage.statistics.core.ranks import standard_ranks
from persona_leakage.statistics.leakage.baseline_predictors import as_they_are, plain_values, residuals_of
from persona_leakage.statistics.leakage.double_centred import correlate_all, gain_adjust

DRAW_KEYS = ("draws", "least_p")
PERSONAS, SOURCES = "other personas", "the other sources"
NEAREST = 12  # each further persona is drawn from the closest 1/NEAREST of the panel
BATCH = 250


@dataclass(frozen=True)
class PermutedSources:
    """Which personas replace some sources: ``drawn`` [draws, S] rows of ``cosines`` [layers, rows, personas], ``actual`` [S] their own.

    kind: PERSONAS of the panel, or, where the table has no cosines but the sources', SOURCES: every other order of their
    labels. personas [rows]: index of each row among the personas.
    """

    kind: str
    cosines: np.ndarray
    drawn: np.ndarray
    actual: np.ndarray
    personas: np.ndarray


def draw_permuted_sources(matrices, sources, panel_cosines, count, generator):
    """(PermutedSources of ``sources``, None), or (None, why there are none).

    panel_cosines: [layers, personas, personas], or None. count: the most draws. Relatives of a source, and the source itself,
    may replace it: without them no draw would be as extreme as the source's own family, and the test would reject too often.
    """
    rows = np.array([matrices.personas.index(name) for name in matrices.sources])
    if panel_cosines is None:
        if len(sources) < 2:
            return None, "one source, and no cosines between the other personas (cosines.csv): nothing can replace it"
        return PermutedSources(
            SOURCES, matrices.cosines["cosine"], other_orders(np.array(sources), count, generator), np.array(sources), rows
        ), None
    flat = np.ptp(panel_cosines[:, :, matrices.bystanders], axis=2) == 0
    pool = np.flatnonzero(~flat.any(axis=0))  # a persona that is equally close to all predicts nothing
    if len(pool) < 2 * len(sources):
        return None, f"{len(pool)} personas with cosines that differ are too few to replace {len(sources)} sources"
    drawn = alike_sets(panel_cosines.mean(axis=0), rows[sources], pool, count, generator)
    return PermutedSources(PERSONAS, panel_cosines, drawn, rows[sources], np.arange(len(matrices.personas))), None


def alike_sets(cosines, actual, pool, count, generator):
    """``count`` sets [count, S] of personas of ``pool`` that resemble each other about as much as those of ``actual`` do.

    Sources that resemble each other also leak alike, which makes their mean correlation vary more than that of unrelated personas. So
    the personas of a set are drawn one by one, sources in random order: the first at random, each next at random among the NEAREST
    whose cosines [personas, personas] to the earlier draws are most like those of this source to the earlier sources.
    """
    size, nearest = len(actual), max(2, len(pool) // NEAREST)
    order = generator.permuted(np.tile(np.arange(size), (count, 1)), axis=1)
    every, drawn = np.arange(count), np.empty((count, size), dtype=int)
    misfit = np.zeros((count, len(pool)))
    for step in range(size):
        source = order[:, step]
        misfit[:] = 0
        for before in range(step):
            other = order[:, before]
            misfit += (cosines[np.ix_(drawn[every, other], pool)] - cosines[actual[other], actual[source]][:, None]) ** 2
            misfit[pool == drawn[every, other][:, None]] = np.inf  # no persona replaces two
        closest = np.argpartition(misfit, nearest, axis=1)[:, :nearest] if step else np.tile(np.arange(len(pool)), (count, 1))
        drawn[every, source] = pool[closest[every, generator.integers(closest.shape[1], size=count)]]
    return drawn


def other_orders(items, count, generator):
    """Orders of ``items`` but their own: all of them, or ``count`` random ones where there are more."""
    if factorial(len(items)) - 1 <= count:
        return items[np.array(list(permutations(range(len(items)))))[1:]]
    orders = np.argsort(generator.random((count, len(items))), axis=1)
    return items[orders[(orders != np.arange(len(items))).any(axis=1)]]


def permuted_source_tests(matrices, sources, permuted, clear, permuted_of_clear):
    """{claim: the layers of a test, or None}: association and beyond_baselines of ``sources``, the two pair-specific ones of ``clear``.

    Each compares the true sources with the permuted ones, as permutation.summarise, two-sided.
    """
    tests = dict.fromkeys(("association", "pair_specific", "pair_specific_gain_adjusted", "beyond_baselines"))
    if permuted is not None:
        tests["association"] = mean_test(rank_correlations(matrices, sources, permuted.cosines, permuted.personas), permuted)
        tests["beyond_baselines"] = mean_test(partial_correlations(matrices, sources, permuted), permuted)
    if permuted_of_clear is not None:
        tests |= joint_tests(matrices, clear, permuted_of_clear)
    return tests


def rank_correlations(matrices, sources, cosines, personas):
    """Spearman correlation of cosine with the leakage of every source, over the common bystanders: [layers, rows, S].

    cosines [layers, rows, P] of ``personas`` [rows] (indices), each without itself as a bystander.
    """
    found = np.empty((len(cosines), len(personas), len(sources)))
    for row, persona in enumerate(personas):
        indices = matrices.bystanders[matrices.bystanders != persona]
        found[:, row] = standard_ranks(cosines[:, row, indices]) @ standard_ranks(matrices.leakage[np.ix_(sources, indices)]).T
    return found


def partial_correlations(matrices, sources, permuted):
    """The same of log-odds given the baseline predictors of each source (baseline_predictors.plain_values); None if there are none."""
    controls = plain_values(matrices, sources)
    if controls is None or controls.shape[-1] - 2 - controls.shape[-2] < 1:
        return None
    y = matrices.common(matrices.logits(), sources)
    found = np.empty((len(permuted.cosines), len(permuted.personas), len(sources)))
    for row, persona in enumerate(permuted.personas):
        kept = matrices.bystanders != persona
        x = permuted.cosines[:, row, matrices.bystanders[kept]]
        design = controls[..., kept]  # [layers, S, k, bystanders]
        rx = residuals_of(np.broadcast_to(x[:, None], (len(x), len(y), x.shape[1])), design, as_they_are)
        ry = residuals_of(np.broadcast_to(y[:, kept], rx.shape), design, as_they_are)
        found[:, row] = (rx * ry).sum(axis=-1)
    return found


def mean_test(correlations, permuted):
    """Test of the mean over the sources of ``correlations`` [layers, rows, S], or None where one is undefined."""
    if correlations is None:
        return None
    columns = np.arange(correlations.shape[2])
    observed = correlations[:, permuted.actual, columns].mean(axis=1)
    return compare_with_draws(observed, correlations[:, permuted.drawn, columns].mean(axis=2))


def permuted_layer(test, permuted, problem, index, otherwise="undefined with a permuted source"):
    """One layer of a test of permuted_sources.py, its number of draws and the least p that this many can give; or why there is none.

    permuted, problem: of draw_permuted_sources. otherwise: what to say if there are permuted sources, but no test.
    """
    if test is None:
        return undefined(problem or otherwise, *TEST_KEYS, *DRAW_KEYS)
    draws = len(permuted.drawn)
    return {**test[index], "draws": draws, "least_p": 1 / (1 + draws), "undefined": None}


def joint_tests(matrices, sources, permuted):
    """{"pair_specific", "pair_specific_gain_adjusted"} of at least two sources: see pair_correlations."""
    names = ("pair_specific", "pair_specific_gain_adjusted")
    if len(sources) < 2:
        return dict.fromkeys(names)
    y = matrices.common(matrices.logits(), sources)
    everyone = np.ones((1, len(matrices.bystanders)))
    observed, null = [], []
    for layer in permuted.cosines:
        observed.append(pair_correlations(layer[np.ix_(permuted.actual, matrices.bystanders)][None], y, everyone))
        drawn = []
        for start in range(0, len(permuted.drawn), BATCH):
            rows = permuted.drawn[start : start + BATCH]
            kept = (permuted.personas[rows][:, :, None] != matrices.bystanders).all(axis=1).astype(float)
            drawn.append(pair_correlations(layer[rows][:, :, matrices.bystanders], y, kept))
        null.append(np.concatenate(drawn, axis=1))
    observed, null = np.array(observed)[..., 0], np.array(null)  # [layers, 2], [layers, 2, draws]
    return {name: compare_with_draws(observed[:, index], null[:, index]) for index, name in enumerate(names)}


def pair_correlations(x, y, kept):
    """[double-centred correlation, gain-adjusted one] of x [draws, S, M] with y [S, M] over the bystanders ``kept`` [draws, M]: [2, draws].

    Double centring removes general effects of sources and bystanders if they are additive. gain_adjust also removes
    differences in how steeply sources follow the bystanders' general tendency.
    """
    count = kept.sum(axis=1)[:, None, None]
    x, y = (
        (values - (values * kept[:, None]).sum(axis=2, keepdims=True) / count) * kept[:, None]
        for values in (x, np.broadcast_to(y, x.shape))
    )
    centred = (values - values.mean(axis=1, keepdims=True) for values in (x, y))
    return np.array([correlate_all(*centred), correlate_all(gain_adjust(x), gain_adjust(y))])
