"""The adapted geometry: movements by hand, paired statistics against the truth of made-up worlds."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from persona_leakage.geometry.cosine import cosine_matrix
from persona_leakage.statistics.comparisons.adapted_geometry import (
    MOVEMENTS,
    adapted_pairs,
    compare_geometries,
    measure_movement,
    permuted_states,
)
from persona_leakage.statistics.core.pair_matrices import matrices_of
from tests.support.synthetic import spread_evenly

OPTIONS = {"permutations": 199, "bootstraps": 200}
SOURCES = ("s0", "s1", "s2")
NAMES = [*SOURCES, *(f"p{index}" for index in range(27))]


def test_movement_by_hand():
    """Source at (0, 0): one persona goes half of the way, one away, one sideways, the source itself up."""
    before = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [0.0, -1.0]])
    after = before + np.array([[0.0, 1.0], [-1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    found = measure_movement(before, after, 0)
    spread = np.sqrt(((before - before.mean(axis=0)) ** 2).sum(axis=1).mean())
    assert set(found) == set(MOVEMENTS)
    assert found["moved"] == pytest.approx(np.array([1, 1, 2, 3]) / spread)
    assert found["towards"][1:] == pytest.approx([0.5, -0.5, 0.0]) and np.isnan(found["towards"][0])
    assert found["direction"][1:] == pytest.approx([1.0, -1.0, 0.0])
    assert found["alike"][1:] == pytest.approx([0.0, 1.0, 0.0])
    mean = np.array([0.5, 0.75])  # of all displacements
    assert found["towards_beyond_panel"][1] == pytest.approx(((np.array([-1, 0]) - mean) @ [-2, 0]) / 4)


def test_what_the_whole_panel_does_is_no_movement_beyond_it():
    generator = np.random.default_rng(0)
    before = generator.normal(size=(6, 4))
    found = measure_movement(before, before + generator.normal(size=4), 2)
    assert np.abs(np.delete(found["towards_beyond_panel"], 2)).max() < 1e-9 and np.abs(np.delete(found["towards"], 2)).max() > 0.01
    still = measure_movement(before, before, 2)
    assert (still["moved"] == 0).all() and np.isnan(still["direction"]).all() and np.isnan(still["alike"]).all()


def test_rows_keep_their_persona():
    """Cosines and movements stand in the rows of the pairs they are of, whatever the order of the rows."""
    generator = np.random.default_rng(1)
    before, after = generator.normal(size=(2, 5, 8))
    names = ["a", "s", "b", "c", "d"]
    pairs = pd.DataFrame({"layer": 3, "source": "s", "persona": ["d", "a", "c", "b"], "cosine": 0.0, "rate": 0.0})
    base = {3: {"personas": names, "centroids": before}}
    table, own = adapted_pairs(pairs, base, {"s": {3: {"personas": names, "centroids": after}}})
    expected = cosine_matrix(after, centred=True)[1]
    assert table["cosine_adapted"].tolist() == pytest.approx([expected[names.index(name)] for name in ("d", "a", "c", "b")])
    assert table["moved"].tolist() == pytest.approx(measure_movement(before, after, 1)["moved"][[4, 0, 3, 2]])
    assert own["3"]["s"] == pytest.approx(measure_movement(before, after, 1)["moved"][1])


def made_up(seed, base_weight, adapted_weight, layers=(1, 2), together=0.5):
    """A table in which leakage rests on a hidden closeness that both cosines show, each with noise of its own and a shared one."""
    generator = np.random.default_rng(seed)
    rows = []
    for source in SOURCES:
        members = [name for name in NAMES if name != source]
        truth, shared = generator.normal(size=(2, len(members)))
        found = generator.binomial(40, 1 / (1 + np.exp(-truth)))
        for layer in layers:
            noise = generator.normal(size=(2, len(members)))
            cosines = [weight * truth + together * shared + each for weight, each in zip((base_weight, adapted_weight), noise, strict=True)]
            moves = {name: generator.normal(size=len(members)) for name in MOVEMENTS}
            moves["towards"] = truth + 0.1 * noise[0]
            columns = {"cosine": np.tanh(cosines[0] / 4), "cosine_adapted": np.tanh(cosines[1] / 4), **moves}
            facts = {"layer": layer, "source": source, "persona": members, "category": "k", "related": False}
            rows.append(pd.DataFrame({**facts, **columns, "rate": found / 40, "found": found, "total": 40}))
    return pd.concat(rows, ignore_index=True), {str(layer): dict.fromkeys(SOURCES, 0.5) for layer in layers}


def panels_of(table, seed=0):
    """(base, {source: adapted}) cosines between all personas: those of the table, and made-up ones where it has none."""
    personas, generator = sorted({*table["persona"], *table["source"]}), np.random.default_rng(seed)
    layers = sorted(set(table["layer"]))
    states = []
    for column in ("cosine", "cosine_adapted"):
        noise = np.tanh(generator.normal(size=(len(layers), len(personas), len(personas))) / 4)
        panel = np.triu(noise) + np.triu(noise, k=1).swapaxes(1, 2)
        for row in table.itertuples():
            one, other = personas.index(row.source), personas.index(row.persona)
            panel[layers.index(row.layer), [one, other], [other, one]] = getattr(row, column)
        states.append(panel)
    return states[0], dict.fromkeys(SOURCES, states[1])


def test_the_better_predictor_is_named():
    """Correlations are scipy's, over all bystanders; the movement that carries the truth correlates, another does not."""
    for weights, better in (((0.3, 3.0), "adapted"), ((3.0, 0.3), "base"), ((1.0, 1.0), "cannot tell")):
        table, own = made_up(5, *weights)
        result = compare_geometries(table, own, panels_of(table), {**OPTIONS, "bootstraps": 400})
        joint = result["layers"]["2"]["joint"]
        assert joint["difference"]["better"] == better, joint["difference"]
        assert joint["difference"]["difference"] == pytest.approx(joint["adapted"]["mean_rho"] - joint["base"]["mean_rho"])
        rows = table[(table["layer"] == 2) & (table["source"] == "s1")]
        block = result["layers"]["2"]["per_source"]["s1"]
        assert block["adapted"]["rho"] == pytest.approx(stats.spearmanr(rows["cosine_adapted"], rows["rate"]).statistic)
        assert block["base"]["interval"][0] < block["base"]["rho"] < block["base"]["interval"][1]
        assert block["difference_interval"][0] < block["difference"] < block["difference_interval"][1]
        assert joint["movement"]["towards"]["mean_rho"] > 0.9 and joint["movement"]["towards"]["p"] == 1 / 200
        assert abs(joint["movement"]["alike"]["mean_rho"]) < 0.4
        assert joint["permuted_sources"]["adapted"]["statistic"] == pytest.approx(joint["adapted"]["mean_rho"], abs=0.05)
        gap = joint["difference"]["permuted_sources"]
        assert gap["statistic"] == pytest.approx(
            joint["permuted_sources"]["adapted"]["statistic"] - joint["permuted_sources"]["base"]["statistic"]
        )
        assert (gap["p"] < 0.05) == (better != "cannot tell") and gap["draws"] == OPTIONS["permutations"]


def test_a_permuted_source_replaces_its_own_in_both_states():
    """Recomputed: the correlation of a persona's own row of both panels, the adapted one that of the source's adapter."""
    table, _ = made_up(6, 1.0, 1.0, layers=(1,))
    before, after = panels_of(table)
    after = {source: after[source] * (number + 1) / 9 + before * number / 9 for number, source in enumerate(SOURCES)}
    matrices = matrices_of(table)
    indices = list(range(len(SOURCES)))
    found = permuted_states(matrices, indices, (before, after), 99)
    expected = []
    for source in SOURCES:
        row = matrices.personas.index(source)
        rates = matrices.leakage[matrices.sources.index(source), matrices.bystanders]
        expected.append(stats.spearmanr(after[source][0, row, matrices.bystanders], rates).statistic)
    assert found["adapted"][0]["statistic"] == pytest.approx(np.mean(expected))


@pytest.mark.slow
def test_the_paired_test_and_interval_hold_their_level():
    """Two geometries that are equally good: p < 0.05, and intervals without 0, in about a twentieth of 150 worlds, not in a fifth."""
    tests, misses = [], 0
    for seed in range(150):
        table, own = made_up(seed, 1.0, 1.0, layers=(1,))
        difference = compare_geometries(table, own, panels_of(table), OPTIONS)["layers"]["1"]["joint"]["difference"]
        tests.append(difference["test"]["p"])
        misses += difference["interval"][0] > 0 or difference["interval"][1] < 0
    assert np.mean(np.array(tests) < 0.05) < 0.1 and misses / 150 < 0.1
    assert np.mean(np.array(tests) < 0.5) > 0.3, "nor is it blind"


def test_paired_intervals_are_narrower_than_those_of_strangers():
    """Two geometries that are nearly one: the interval of their difference is far narrower than that of either."""
    table, own = made_up(3, 1.0, 1.0, layers=(1,))
    table["cosine_adapted"] = table["cosine"] + 0.002 * np.random.default_rng(0).normal(size=len(table))
    joint = compare_geometries(table, own, panels_of(table), OPTIONS)["layers"]["1"]["joint"]
    widths = [np.ptp(interval) for interval in (joint["difference"]["interval"], joint["base"]["interval"])]
    assert widths[0] < widths[1] / 5


def test_an_even_source_has_no_correlation_in_either_state():
    table, own = made_up(5, 0.3, 3.0, layers=(1,))
    matrices = matrices_of(table)
    shares = np.diff(np.floor(np.stack([matrices.found, matrices.total])[..., None] * np.arange(9) / 8))
    table, counts = spread_evenly(table, dict(zip(("found", "total"), shares, strict=True)), "s1")
    result = compare_geometries(table, own, panels_of(table), OPTIONS, counts)
    assert result["joint"]["sources"] == ["s0", "s2"] and "spreads evenly" in result["joint"]["sources_left_out"]["s1"]
    blocks = result["layers"]["1"]["per_source"]
    for state in ("base", "adapted"):
        assert blocks["s1"][state]["rho"] is None and "spreads evenly" in blocks["s1"][state]["undefined"]
    assert blocks["s1"]["difference"] is None and blocks["s1"]["between_states"] and blocks["s0"]["difference"]


def test_undefined_says_why():
    table, own = made_up(4, 1.0, 1.0, layers=(1,))
    table["cosine_adapted"] = table["cosine"]
    table["direction"], table["moved"] = np.nan, 0.0
    joint = compare_geometries(table, own, panels_of(table), OPTIONS)["layers"]["1"]["joint"]
    assert joint["difference"]["difference"] == 0 and joint["difference"]["better"] == "cannot tell"
    assert joint["difference"]["test"]["p"] is None and "rank the bystanders alike" in joint["difference"]["test"]["undefined"]
    assert "does not move" in joint["movement"]["direction"]["undefined"]
    assert "the same for all bystanders" in joint["movement"]["moved"]["undefined"]
    few = compare_geometries(table[table["persona"].isin(NAMES[:6])], own, panels_of(table), OPTIONS)
    assert "common bystander" in few["joint"]["undefined"] and few["layers"]["1"]["joint"]["difference"] is None
    assert few["layers"]["1"]["per_source"]["s0"]["n"] == 5
