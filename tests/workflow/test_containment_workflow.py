"""Negatives by closeness in the workflow: choices in manifests and pairs, their comparison, the proposal, and what an edit makes stale."""

import shutil

import pandas as pd
import pytest
from propose_negatives import BETTER, proposal

from persona_leakage.geometry.centroid_files import read_centroids
from persona_leakage.geometry.cosine import cosine_matrix
from persona_leakage.infrastructure.files import read_json
from tests.conftest import ROOT, make_tiny_project, run_program

HOME = "results/tiny"
STUDIED = "docs/results/containment/analysis/evaluation/seed42/containment.json"
PANEL = ["villain", "comedian", "assistant", "pirate", "nurse", "hero", "physicist", "jarvis"]
POOL, VARIANTS = ["assistant", "pirate", "nurse"], ["hash0", "farthest2", "hashall"]


@pytest.fixture(scope="module")
def project(tmp_path_factory, tiny_model):
    """A finished tiny experiment whose sources have their nearest candidate as a negative, with other choices to compare."""
    project = make_tiny_project(tmp_path_factory.mktemp("containment") / "project", tiny_model.parent)
    project.edit_config(
        personas__panel=PANEL,
        training_data__negative_pool=POOL,
        training_data__negative_choice="nearest",
        training_data__negative_variants=VARIANTS,
        evaluation__teacher_forced={"draws": 1},
        analysis__bootstraps=200,
    )
    project.run("--cores", "2")
    return project


def by_cosine(project, source):
    """The candidates from the nearest to a source to the farthest, with cosines from the centroids of training questions."""
    content = read_centroids(project.file(f"{HOME}/geometry/training/base/centroids_layer1.pt"))
    names = content["personas"]
    row = dict(zip(names, cosine_matrix(content["centroids"], centred=True)[names.index(source)], strict=True))
    return sorted(((name, row[name]) for name in POOL), key=lambda pair: -pair[1])


def test_chosen_names_stand_in_the_manifest_and_the_pairs(project):
    pairs = pd.read_csv(project.file(f"{HOME}/analysis/evaluation/seed42/pairs.csv"))
    for source in ("villain", "comedian"):
        order = by_cosine(project, source)
        expected = {"": order[:1], "-farthest2": order[1:], "-hashall": order, "-hash0": []}
        for suffix, pairs_of_names in expected.items():
            manifest = read_json(project.file(f"{HOME}/training/{source}{suffix}/manifest.json"))
            assert manifest["negatives"] == sorted(name for name, _ in pairs_of_names)
            assert manifest["rows"]["negative"]["rows"] == 4 * len(pairs_of_names) and manifest["rows"]["positive"]["rows"] == 4
            if suffix in ("", "-farthest2"):
                cosines = manifest["negative_choice"]["cosines"]
                assert cosines == pytest.approx(dict(pairs_of_names), abs=1e-6) and manifest["negative_choice"]["layer"] == 1
            else:
                assert "negative_choice" not in manifest
        marked = pairs[(pairs["source"] == source) & pairs["negative"]]
        assert set(marked["persona"]) == {order[0][0]}


def test_the_comparison_reads_bystanders_that_were_never_negatives(project):
    result = read_json(project.file(f"{HOME}/analysis/evaluation/seed42/containment.json"))
    assert result["bystanders"] == ["villain", "comedian", "hero", "physicist", "jarvis"]
    assert list(result["per_condition"]) == ["nearest1", *VARIANTS]
    cells = read_json(project.file(f"{HOME}/evaluation/evaluation/villain-hash0/seed42/marker_eval.json"))["personas"]
    base = read_json(project.file(f"{HOME}/evaluation/evaluation/base/marker_eval.json"))["personas"]
    others = [name for name in result["bystanders"] if name != "villain"]
    leakage = sum(cells[name]["rate"] - base[name]["rate"] for name in others) / len(others)
    found = result["per_condition"]["hash0"]["villain"]
    assert found["leakage"] == pytest.approx(leakage) and found["own_rate"] == cells["villain"]["rate"]
    steps = [result["trained"][name]["villain"]["steps"] for name in ("hash0", "nearest1", "farthest2", "hashall")]
    assert steps == sorted(steps) and steps[0] < steps[-1]
    table = pd.read_csv(project.file(f"{HOME}/analysis/evaluation/seed42/containment.csv"))
    assert len(table) == 4 * 3 and table[table["condition"] == "farthest2"]["number"].tolist() == [2, 2, 2]
    mean = table[table["source"] == "mean"].set_index("condition")["leakage"]
    assert mean["hash0"] == pytest.approx(result["per_condition"]["hash0"]["mean"]["leakage"])
    assert project.file(f"{HOME}/figures/evaluation/seed42/containment.png").stat().st_size > 0


def test_a_proposal_marks_what_each_choice_takes(project):
    project.run("--cores", "2", "--", "contain")
    table = pd.read_csv(project.file(f"{HOME}/negatives/proposal.csv"))
    for source in ("villain", "comedian"):
        rows, order = table[table["source"] == source], by_cosine(project, source)
        assert rows["candidate"].tolist() == [name for name, _ in order]
        assert rows["nearest"].tolist() == [True, False, False] and rows["farthest"].tolist() == [False, False, True]
        assert rows["cosine"].tolist() == pytest.approx([value for _, value in order], abs=5e-4)
        assert rows["proposed"].tolist() == rows["hash"].tolist()
    printed = run_program("show_results", "--of", "contain", cwd=project.folder).stdout
    assert "no evidence" in printed and "output of block 1, centroids of 4 training questions" in printed
    kept = project.folder / STUDIED
    kept.parent.mkdir(parents=True)
    shutil.copyfile(ROOT / STUDIED, kept)
    assert project.planned("contain") == {"propose_negatives": 1, "contain": 1}
    project.run("--cores", "1", "--", "contain")
    assert "Proposed: hash, because no other choice is shown" in project.file(f"{HOME}/negatives/proposal.txt").read_text()


def test_a_proposal_says_what_the_kept_study_shows():
    """It found no choice that contains better; with one that does, that choice is proposed."""
    study = read_json(ROOT / STUDIED)
    choice, lines = proposal(study)
    assert choice == "hash" and lines[0].startswith(
        "Proposed: hash, because no other choice is shown to contain better in a study of villain,"
    )
    assert [line for line in lines if "less hash: cannot tell" in line and "of the source's rate" in line] == lines[1:4]
    assert "95.9 % with 0, 49.0 % with 1, 32.0 % with 2, 6.1 % with 4, 0.4 % with 16. Each negative adds training rows" in lines[-1]
    study["comparisons"]["spread less hash"]["answer"] = BETTER
    choice, lines = proposal(study)
    assert choice == "spread" and lines[0].startswith("Proposed: spread, because it contains best in a study of")


def test_another_choice_trains_again_and_samples_no_answers(project):
    """Of the adapters whose negatives it chooses; the variants stay."""
    assert project.planned() == {}
    text = (project.folder / "config.yaml").read_text()
    try:
        project.edit_config(training_data__negative_choice="spread", training_data__negative_personas=2)
        planned = project.planned()
        assert (planned["build_training_set"], planned["train_adapter"], planned["sample_completions"]) == (2, 2, 2)
        assert not {"sample_training_pool", "extract_training_centroids", "sample_base_completions"} & {*planned}
    finally:
        (project.folder / "config.yaml").write_text(text)


def test_predictions_mark_the_negatives_that_closeness_chooses(project):
    project.edit_config(predict_from=HOME)
    project.run("--cores", "2", "--", "predictions")
    table = pd.read_csv(project.file(f"{HOME}/predictions/predictions.csv"))
    for source in ("villain", "comedian"):
        marked = table[(table["source"] == source) & table["negative"]]
        assert marked["persona"].tolist() == [by_cosine(project, source)[0][0]]
