"""The comparison of predictors: its numbers are those of correlation.json where both have them, and it finds a better predictor."""

import json
from dataclasses import replace

import numpy as np
import pytest

from persona_leakage.infrastructure.files import read_json
from persona_leakage.statistics.comparisons.predictors import compare_predictors
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.leakage.summary import analyse
from persona_leakage.statistics.validation.simulation import SCENARIOS, World, simulate
from persona_leakage.tables.read import read_pairs
from tests.conftest import ROOT, finished_with, run_program
from tests.support.synthetic import QUICK, SMALL, make_tables, save_tables

OUTPUT = ("output_similarity_source_replies", "output_similarity_bystander_replies", "output_similarity")
PUBLISHED = ROOT / "tests/data/published_pairs.csv"


def test_what_correlation_json_has_too_is_the_same():
    """The published pairs: mean correlations and p of every predictor, one that differs by layer among them, and the order."""
    table = read_pairs(PUBLISHED)
    table["cosine_raw"] = table["cosine"] ** 3
    compared = compare_predictors(matrices_of(table), 20, QUICK)
    alone = analyse(table, 20, QUICK)["layers"]["20"]["baseline_predictors"]["alone"]
    assert set(alone) == set(compared["predictors"])
    for name, block in alone.items():
        found = compared["predictors"][name]
        assert (found["mean_rho"], found["p"]) == pytest.approx((block["mean_rho"], block["p"]))
        assert {source: each["rho"] for source, each in found["per_source"].items()} == pytest.approx(block["per_source"])
    means = [compared["predictors"][name]["mean_rho"] for name in compared["order"]]
    assert means == sorted(means, reverse=True)
    assert compared["predictors"]["mean_leakage_other_sources"]["known_before_training"] is False
    assert all("no such column" in compared["left_out"][name] for name in OUTPUT)


def with_divergence(matrices, values):
    """The matrices with js_source_replies and js_bystander_replies, both ``values`` [sources, personas]."""
    both = np.broadcast_to(values, (len(matrices.layers), *values.shape))
    return replace(matrices, cosines={**matrices.cosines, "js_source_replies": both, "js_bystander_replies": both})


def test_a_perfect_predictor_leads_and_the_paired_interval_says_so():
    """Divergence that falls as leakage rises: first, clearly above the cosine; the cosine itself has no difference."""
    matrices, counts, _ = simulate(SCENARIOS["weak pair effect"], np.random.default_rng(1))
    compared = compare_predictors(with_divergence(matrices, 1 - np.nan_to_num(matrices.rate)), 0, QUICK, counts)
    json.dumps(compared, allow_nan=False)
    assert {*compared["order"][:3]} == {*OUTPUT}
    for name in OUTPUT:
        best = compared["predictors"][name]
        assert best["mean_rho"] == pytest.approx(1) and best["known_before_training"] is True
        assert best["less_cosine_interval"][0] > 0.2
    assert compared["predictors"]["cosine"]["less_cosine"] is None


def test_the_interval_is_of_pairs():
    """A predictor that is the cosine but for a little noise: the difference is known far better than either correlation."""
    matrices, counts, _ = simulate(SCENARIOS["pair effect"], np.random.default_rng(2))
    noise = 0.001 * np.random.default_rng(3).normal(size=matrices.rate.shape)
    divergence = 0.5 - np.nan_to_num(matrices.cosines["cosine"][0]) / 4 + noise
    found = compare_predictors(with_divergence(matrices, divergence), 0, QUICK, counts)["predictors"]
    low, high = found["output_similarity"]["less_cosine_interval"]
    whole = found["cosine"]["interval"]
    assert high - low < (whole[1] - whole[0]) / 5


def test_what_cannot_be_compared_is_said():
    matrices, _, _ = simulate(World(sources=2, bystanders=3), np.random.default_rng(0))
    assert "common bystander" in compare_predictors(matrices, 0, QUICK)["undefined"]
    matrices, _, _ = simulate(SMALL, np.random.default_rng(0))
    flat = with_divergence(matrices, np.full(matrices.rate.shape, 0.5))
    assert {compare_predictors(flat, 0, QUICK)["left_out"][name] for name in OUTPUT} == {"the same for all bystanders of a source"}


def test_the_programs(tmp_path):
    tables = make_tables(SMALL)
    pairs = tables["pairs"].groupby(["source", "persona"], sort=False).ngroup()
    tables["pairs"] = tables["pairs"].assign(js_source_replies=pairs / 100, js_bystander_replies=1 - pairs / 100)
    options = save_tables({name: tables[name] for name in ("pairs", "question_counts")}, tmp_path)
    options += ["--settings", json.dumps({"permutations": 199, "bootstraps": 200}), "--headline-layer", "0", "--output", "predictors.json"]
    done = run_program("compare_predictors", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {*OUTPUT[:2]} <= {*read_json(tmp_path / "predictors.json")["predictors"]}
    assert (
        run_program("plot_figure", "predictors", "--predictors", "predictors.json", "--output", "predictors.png", cwd=tmp_path).returncode
        == 0
    )


@pytest.fixture(scope="module")
def project_with_predictors(finished_project, tmp_path_factory):
    """The finished tiny experiment with the predictor comparison and the divergence switched on, run to its end."""
    changes = {"analysis__predictors": True, "analysis__divergence": {"replies_per_question": 1, "tokens": 4}}
    return finished_with(finished_project, tmp_path_factory.mktemp("predictors") / "project", **changes)


def test_a_finished_run_has_the_divergence_of_every_pair(project_with_predictors):
    assert project_with_predictors.planned() == {}
    values = read_json(project_with_predictors.file("results/tiny/geometry/evaluation/base/divergence.json"))["divergence"]
    for column in ("js_source_replies", "js_bystander_replies"):
        assert {source: len(personas) for source, personas in values[column].items()} == {"villain": 5, "comedian": 5}
    assert values["js_source_replies"]["villain"]["comedian"] == values["js_bystander_replies"]["comedian"]["villain"]
    assert values["js_source_replies"]["villain"]["pirate"] != values["js_bystander_replies"]["villain"]["pirate"]
    home = project_with_predictors.folder / "results/tiny"
    base = read_json(home / "evaluation/evaluation/base/marker_eval.json")["personas"]
    for row in read_pairs(home / "analysis/evaluation/seed42/pairs.csv").itertuples():
        for column in ("js_source_replies", "js_bystander_replies"):
            assert getattr(row, column) == values[column][row.source][row.persona]
        assert row.base_reply_tokens == base[row.persona]["mean_tokens"]
