"""Sources whose behaviour spreads evenly: the test of spread, what they take no part in, and simulated truth."""

import numpy as np
import pytest
from scipy import stats

from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.leakage.even_spread import leave_out_even, spread_test
from persona_leakage.statistics.leakage.summary import analyse
from persona_leakage.statistics.validation.levelling_worlds import EXPECTED, WORLDS, levelling_answers
from tests.support.synthetic import QUICK, SMALL, checked, entry_of, make_tables, read_back, with_base


def test_spread_test_ignores_what_does_not_hold_over_questions():
    """p is uniform where personas differ in single questions only, however much; a lasting difference is found."""
    p_values = []
    for number in range(60):
        generator = np.random.default_rng(number)
        chances = 1 / (1 + np.exp(-generator.normal(size=12) - 2 * generator.normal(size=(30, 12))))
        rates = generator.binomial(8, chances) / 8
        p_values.append(spread_test(rates, 199, generator)["p"])
    assert stats.kstest(p_values, "uniform").pvalue > 0.01 and np.mean(np.array(p_values) <= 0.05) <= 0.15
    found = spread_test(rates + 0.3 * (np.arange(30) < 10)[:, None], 199, generator)
    assert found["p"] == 1 / 200 and found["sd"] > 1.5 * found["sd_by_chance"]


def even_tables(sources=()):
    """Synthetic tables with base rates in which the bystanders of ``sources`` all show the behaviour with the same chance."""
    tables, generator = make_tables(SMALL), np.random.default_rng(1)
    questions = tables["question_counts"]
    even = questions["source"].isin(sources)
    questions.loc[even, "found"] = generator.binomial(10, 0.6, size=even.sum())
    sums = questions.groupby(["source", "persona"])["found"].sum()
    pairs = with_base()
    pairs["found"] = [sums[pair] for pair in zip(pairs["source"], pairs["persona"], strict=True)]
    return {**tables, "pairs": pairs.assign(rate=pairs["found"] / pairs["total"])}


ALL = ("source0", "source1", "source2")


@pytest.mark.parametrize(("even", "answer"), [((), "supported"), (("source1",), "cannot tell"), (ALL, "not supported")])
def test_even_sources_take_no_part(tmp_path, even, answer):
    """They have no correlations, and the finding says so."""
    table, counts, _ = read_back(even_tables(even), tmp_path)
    result = checked(table, counts)
    assert {source for source, block in result["even_spread"].items() if block["even"]} == {*even}
    entry = entry_of(result, "even_spread")
    assert entry["answer"] == answer and all(name in entry["because"] for name in even)
    layer = result["layers"]["0"]
    assert {*layer["per_source"]} == {*ALL}
    assert {name for name, block in layer["per_source"].items() if block["spearman_rho"] is None} == {*even}
    assert all("spreads evenly" in result["joint"]["sources_left_out"].get(name, result["joint"]["undefined"]) for name in even)
    assert layer["pooled"]["n"] == (3 - len(even)) * 14
    if len(even) == 3:
        assert "spreads evenly" in layer["pooled"]["undefined"] and "spreads evenly" in entry_of(result, "association")["because"]
    assert leave_out_even(matrices_of(table), counts).even == frozenset(even)


def test_without_counts_nobody_is_left_out():
    result = analyse(with_base(), 0, QUICK)
    assert all("no counts per question" in block["undefined"] for block in result["even_spread"].values())
    assert entry_of(result, "even_spread")["answer"] == "cannot tell" and result["joint"]["sources_left_out"] == {}


@pytest.mark.parametrize(
    ("name", "tables", "least"),
    [
        *((name, tables, 1.0) for name, tables in (("levelling", 2), ("even spread", 1), ("pair effect on levelling", 1))),
        *(pytest.param(name, 40, 0.9, marks=pytest.mark.slow) for name in WORLDS),
    ],
)
def test_worlds_of_levelling(name, tables, least):
    """Levelling alone supports no association; a pair effect on top of it is found; even spread is called that."""
    found = [levelling_answers(WORLDS[name], [1, number]) for number in range(tables)]
    shares = {entry: np.mean([each[entry] in right for each in found]) for entry, right in EXPECTED[name].items()}
    assert min(shares.values()) >= least, (shares, found)
