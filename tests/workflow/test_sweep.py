"""Layers and token positions compared: storage, statistics, and the axis in the workflow."""

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from persona_leakage.config.layers import POSITIONS
from persona_leakage.geometry.cosine import cosine_matrix
from persona_leakage.infrastructure.files import read_json, write_json
from persona_leakage.infrastructure.tensor_files import read_tensors
from persona_leakage.statistics.comparisons.layer_sweep import analyse_sweep, chance_of_choices, swept_matrices
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.tables.read import read_pairs
from tests.conftest import finished_with
from tests.reporting.test_report import build, check_numbers
from tests.support.made_up_results import make_results

SWEEP = {"geometry__layers": "all", "geometry__positions": list(POSITIONS)}
OPTIONS = {"permutations": 499, "bootstraps": 200}


def made_up_choices(seed, best=None, bystanders=20):
    """(PairMatrices, panel cosines) of two sources over 2 positions x 4 layers of noise; at ``best`` the cosine tells the leakage."""
    generator = np.random.default_rng(seed)
    names = ["s", "t", *(f"p{number:02}" for number in range(bystanders))]
    vectors = {(position, layer): generator.normal(size=(len(names), 30)) for position in POSITIONS[:2] for layer in range(4)}
    cosine = cosine_matrix(vectors[best or (POSITIONS[0], 0)], centred=True)
    rows = []
    for source in ("s", "t"):
        leaks = cosine[names.index(source)] if best else generator.normal(size=len(names))
        order = stats.rankdata(leaks) / len(names)
        for index, persona in enumerate(names):
            if persona != source:
                found = int(40 * order[index])
                rows.append({"layer": 1, "source": source, "persona": persona, "category": "c", "related": False,
                             "cosine": cosine[names.index(source), index], "rate": found / 40, "found": found, "total": 40})  # fmt: skip
    return swept_matrices(matrices_of(pd.DataFrame(rows)), names, vectors)


def test_the_choice_that_predicts_is_found():
    best = (POSITIONS[1], 2)
    result = analyse_sweep(*made_up_choices(1, best), (POSITIONS[0], 1), OPTIONS)
    assert (result["best"]["position"], result["best"]["layer"]) == best and result["choices"] == 8
    layer = result["positions"][best[0]]["layers"]["2"]
    assert layer["within_source"]["mean_rho"] > 0.97 and layer["chance"]["p_max_t"] == 1 / 500
    assert layer["permuted_sources"]["p_max_t"] < 0.05 and layer["permuted_sources"]["statistic"] == pytest.approx(
        layer["chance"]["statistic"]
    )
    assert layer["difference_from_headline"]["interval"][0] > 0
    headline = result["positions"][POSITIONS[0]]["layers"]["1"]
    assert headline["difference_from_headline"]["undefined"] == "the headline layer itself"
    low, high = headline["chance"]["band"]
    assert low < headline["within_source"]["mean_rho"] < high < layer["within_source"]["mean_rho"]


def test_correlations_of_a_choice_are_those_of_scipy():
    matrices, panel = made_up_choices(2)
    result = analyse_sweep(matrices, panel, (POSITIONS[0], 0), OPTIONS)
    for index, (position, layer) in enumerate(matrices.layers):
        for row, source in enumerate(matrices.sources):
            known = ~np.isnan(matrices.rate[row])
            expected = stats.spearmanr(matrices.cosines["cosine"][index, row, known], matrices.rate[row, known]).statistic
            assert result["positions"][position]["layers"][str(layer)]["per_source"][source] == pytest.approx(expected)


def test_all_choices_are_paid_for():
    """Without an effect the smallest p_max_t of eight choices is below 0.05 in that share of worlds, the smallest p far more often."""
    corrected, plain = [], []
    for seed in range(200):
        matrices, _ = made_up_choices(seed)
        tests = chance_of_choices(matrices, [0, 1], 199)
        corrected.append(min(test["p_max_t"] for test in tests))
        plain.append(min(test["p"] for test in tests))
        outside = [not test["band"][0] <= test["statistic"] <= test["band"][1] for test in tests]
        assert any(outside) == (corrected[-1] <= 0.05)
    assert stats.binomtest(sum(p <= 0.05 for p in corrected), 200, 0.05).pvalue > 0.01
    assert sum(p <= 0.05 for p in plain) > 40


def test_too_few_bystanders_are_said_so():
    result = analyse_sweep(*made_up_choices(4, bystanders=3), (POSITIONS[0], 0), OPTIONS)
    assert "common bystander" in result["undefined"] and result["best"]["layer"] is None


@pytest.fixture(scope="module")
def swept_project(finished_project, tmp_path_factory):
    return finished_with(finished_project, tmp_path_factory.mktemp("swept") / "project", **SWEEP)


def test_a_swept_experiment(swept_project):
    """Files of every position and block; the headline's centroids as in the main analysis; a section of the report."""
    home = swept_project.folder / "results/tiny"
    sweep = read_json(home / "analysis/evaluation/seed42/sweep.json")
    exact = read_tensors(home / "geometry/evaluation/base/centroids_layer1.pt")
    swept = np.load(home / "geometry/evaluation/base/sweep_last_prompt_token.npz")
    assert (str(swept["position"]), [*swept["layers"]], [*swept["personas"]]) == ("last_prompt_token", [0, 1, 2, 3], exact["personas"])
    np.testing.assert_allclose(swept["centroids"][1], exact["centroids"].numpy(), rtol=1e-5, atol=1e-6)
    table = read_pairs(home / "analysis/evaluation/seed42/pairs.csv")
    assert set(table["layer"]) == {1} and sweep["choices"] == 12
    for name in POSITIONS:
        assert (home / f"geometry/evaluation/base/sweep_{name}.npz").is_file()
    page = home / "report/index.html"
    assert 'id="sweep"' in page.read_text()
    _, loose = check_numbers(page, home)
    assert not [text for text in loose if "choice" in text]
    assert (home / "figures/evaluation/seed42/sweep.svg").stat().st_size > 0
    assert swept_project.planned() == {}


def test_the_reports_section_shows_the_choices(tmp_path):
    """The headline and the highest of each position, every number from sweep.json."""
    home = tmp_path / "results/made_up"
    config, pairs = make_results(home, per_question=1, words=12)
    names, generator = sorted({*pairs["persona"]}), np.random.default_rng(0)
    vectors = {(name, layer): generator.normal(size=(len(names), 20)) for name in POSITIONS for layer in (19, 20, 21)}
    swept = swept_matrices(matrices_of(pairs[pairs["layer"] == 20]), names, vectors)
    write_json(home / "analysis/evaluation/seed42/sweep.json", analyse_sweep(*swept, (POSITIONS[0], 20), OPTIONS))
    config["geometry"] |= {"layers": "all", "positions": list(POSITIONS)}
    (home / "run_config.yaml").write_text(yaml.safe_dump({"meta": {}, "config": config}))
    build(home)
    page = tmp_path / "index.html"
    section = page.read_text().partition('id="sweep"')[2].partition("<h2")[0]
    assert (
        section.partition("<details")[0].count("<tr>") == 1 + 1 + 3
        and section.count("sweep.json") > 20
        and "not computed" not in section.lower()
    )
    check_numbers(page, home)
