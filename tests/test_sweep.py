"""Layers and token positions compared: storage, statistics, and the axis in the workflow."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from persona_leakage.config.layers import POSITIONS
from persona_leakage.geometry.centroid_files import read_packed, write_packed
from persona_leakage.geometry.cosine import cosine_matrix
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json, write_json
from persona_leakage.infrastructure.tensor_files import read_tensors
from persona_leakage.statistics.comparisons.layer_sweep import analyse_sweep, chance_of_choices, swept_matrices
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.core.permutation import draw_permutations
from persona_leakage.tables.read import read_pairs
from tests.conftest import Project
from tests.made_up_results import make_results
from tests.test_report import build, check_numbers

SWEEP = {"geometry__layers": "all", "geometry__positions": list(POSITIONS)}
OPTIONS = {"permutations": 499, "bootstraps": 200}


def huge_states(personas=12, layers=3, hidden=64):
    """Centroids as models have them: personas close together, far from the origin, some numbers in the ten thousands."""
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(layers, personas, hidden)) * 0.3 + generator.normal(size=(layers, 1, hidden)) * 5
    vectors[:, :, :2] += (90_000, -20_000)  # beyond the largest float16
    return vectors.astype(np.float32)


def test_packed_centroids_keep_their_cosines(tmp_path):
    """Centred cosines to 5e-4 although some numbers do not even fit float16; half the size."""
    vectors = huge_states()
    write_packed(tmp_path / "a.npz", "last_prompt_token", [0, 5, 9], list("abcdefghijkl"), vectors, model="m")
    position, layers, personas, found = read_packed(tmp_path / "a.npz")
    assert (position, layers, personas) == ("last_prompt_token", [0, 5, 9], list("abcdefghijkl"))
    for before, after in zip(vectors, found, strict=True):
        assert np.abs(cosine_matrix(before, centred=True) - cosine_matrix(after, centred=True)).max() < 5e-4
        assert np.abs(cosine_matrix(before, centred=False) - cosine_matrix(after, centred=False)).max() < 1e-9
    write_packed(tmp_path / "b.npz", "last_prompt_token", [0, 5, 9], list("abcdefghijkl"), vectors, model="m")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "not a whole file of plain arrays"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"mean.npy", b"lean.npy")), "must hold deviation, layers, mean"),
        (lambda path: np.savez(path, mean=np.array([{}], dtype=object)), "not a whole file of plain arrays"),
        (lambda path: path.unlink(), "no such file"),
    ],
)
def test_a_damaged_packed_file_is_refused(tmp_path, damage, message):
    """Also one that would run code when read: pickled objects are never loaded."""
    path = tmp_path / "a.npz"
    write_packed(path, "last_prompt_token", [0], ["a", "b"], huge_states(2, 1), model="m")
    damage(path)
    with pytest.raises(InputError, match=message):
        read_packed(path)


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
        for place, persona in enumerate(names):
            if persona != source:
                found = int(40 * order[place])
                rows.append({"layer": 1, "source": source, "persona": persona, "category": "c", "related": False,
                             "cosine": cosine[names.index(source), place], "rate": found / 40, "found": found, "total": 40})  # fmt: skip
    return swept_matrices(matrices_of(pd.DataFrame(rows)), names, vectors)


def test_the_choice_that_predicts_is_found():
    best = (POSITIONS[1], 2)
    result = analyse_sweep(*made_up_choices(1, best), (POSITIONS[0], 1), OPTIONS)
    assert (result["best"]["position"], result["best"]["layer"]) == best and result["choices"] == 8
    layer = result["positions"][best[0]]["layers"]["2"]
    assert layer["within_source"]["mean_rho"] > 0.97 and layer["chance"]["p_max_t"] == 1 / 500
    assert layer["stand_ins"]["p_max_t"] < 0.05 and layer["stand_ins"]["statistic"] == pytest.approx(layer["chance"]["statistic"])
    assert layer["difference_from_headline"]["interval"][0] > 0
    headline = result["positions"][POSITIONS[0]]["layers"]["1"]
    assert headline["difference_from_headline"]["undefined"] == "the headline layer itself"
    low, high = headline["chance"]["band"]
    assert low < headline["within_source"]["mean_rho"] < high < layer["within_source"]["mean_rho"]


def test_correlations_of_a_choice_are_those_of_scipy():
    matrices, panel = made_up_choices(2)
    result = analyse_sweep(matrices, panel, (POSITIONS[0], 0), OPTIONS)
    for place, (position, layer) in enumerate(matrices.layers):
        for row, source in enumerate(matrices.sources):
            known = ~np.isnan(matrices.rate[row])
            expected = stats.spearmanr(matrices.cosines["cosine"][place, row, known], matrices.rate[row, known]).statistic
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


def test_the_null_of_a_choice_does_not_depend_on_the_others():
    """The same relabellings for all: one choice alone has the p of that choice among eight."""
    matrices, _ = made_up_choices(3)
    alone = swept_alone(matrices, 5)
    assert chance_of_choices(alone, [0, 1], 199)[0]["p"] == chance_of_choices(matrices, [0, 1], 199)[5]["p"]
    assert draw_permutations(np.random.default_rng(1), 5, 3).shape == (3, 5)


def swept_alone(matrices, place):
    """The matrices with one choice alone."""
    return replace(matrices, layers=[matrices.layers[place]], cosines={"cosine": matrices.cosines["cosine"][[place]]})


def test_too_few_bystanders_are_said_so():
    result = analyse_sweep(*made_up_choices(4, bystanders=3), (POSITIONS[0], 0), OPTIONS)
    assert "common bystander" in result["undefined"] and result["best"]["layer"] is None


@pytest.fixture(scope="module")
def swept_project(finished_project, tmp_path_factory):
    """The finished tiny experiment, swept, run to its end."""
    folder = tmp_path_factory.mktemp("swept") / "project"
    shutil.copytree(finished_project.folder, folder, copy_function=shutil.copy2)
    project = Project.__new__(Project)
    project.folder = folder
    project.edit_config(**SWEEP)
    project.run("--cores", "2")
    return project


def test_a_swept_experiment(swept_project):
    """Files of every position and block; the headline's cosines as in the main analysis, to what packing costs; a section of the report."""
    home = swept_project.folder / "results/tiny"
    sweep = read_json(home / "analysis/evaluation/seed42/sweep.json")
    exact = read_tensors(home / "geometry/evaluation/base/centroids_layer1.pt")
    position, layers, personas, vectors = read_packed(home / "geometry/evaluation/base/sweep_last_prompt_token.npz")
    assert (position, layers, personas) == ("last_prompt_token", [0, 1, 2, 3], exact["personas"])
    np.testing.assert_allclose(cosine_matrix(vectors[1], centred=True), cosine_matrix(exact["centroids"].numpy(), centred=True), atol=1e-3)
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
    assert section.count("<tr>") == 1 + 1 + 3 and section.count("sweep.json") > 20 and "not computed" not in section.lower()
    check_numbers(page, home)


def test_layers_off_again_leave_the_page_without_the_section(swept_project, tmp_path):
    """Although the figure of the sweep still lies there."""
    project = Project.__new__(Project)
    project.folder = tmp_path / "project"
    shutil.copytree(swept_project.folder, project.folder, copy_function=shutil.copy2)
    project.edit_config(geometry__layers=[1, 3], geometry__positions=["last_prompt_token"])
    project.run("--cores", "2", "report")
    page = (project.folder / "results/tiny/report/index.html").read_text()
    assert 'id="sweep"' not in page and "sweep.png" not in page
