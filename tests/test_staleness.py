"""Which jobs a change makes stale: exactly those that use what was changed."""

import os
import shutil

import pytest
import yaml

from persona_leakage.files import read_json

END = {"build_report": 1, "all": 1}  # the report shows all there is
OF_CORRELATIONS = dict.fromkeys(("plot_scatter", "plot_layers", "plot_category_correlations", "plot_noise_ceiling"), 1)
OF_PAIRS = dict.fromkeys(("plot_scatter", "plot_category_scatter", "plot_category_rates", "plot_heat_map", "plot_cosines"), 1)
FIGURES = {**OF_PAIRS, **OF_CORRELATIONS, "plot_replies": 1, "plot_training": 1}
LEAGUE = {"compare_predictors": 1, "plot_predictors": 1}
STATISTICS = {"correlate_leakage": 1, **OF_CORRELATIONS, **END}
ANALYSIS = {"tabulate_pairs": 1, **OF_PAIRS, **STATISTICS}
SCORES = {**ANALYSIS, "plot_replies": 1}
ALL_STAGES = {"build_training_set": 2, "train_adapter": 2, "sample_completions": 2, "score_leakage": 2, **SCORES, "plot_training": 1}
RETRAINED = {key: count for key, count in ALL_STAGES.items() if key != "build_training_set"}
NEW_REPLIES = {"sample_completions": 2, "sample_base_completions": 1, "score_leakage": 2, "score_base_leakage": 1, **SCORES}


def test_touching_everything_makes_nothing_stale(project_copy):
    for path in sorted(project_copy.folder.rglob("*")):
        if path.is_file() and ".snakemake" not in path.parts:
            os.utime(path)
    assert project_copy.planned() == {}


def test_several_adapters_in_one_job_give_the_files_of_one_each(project_copy):
    """Another way to cut the work into jobs: finished replies are taken from their restart points, and a lost part comes back the same."""
    home = project_copy.folder / "results/tiny"
    files = [home / f"evaluation/evaluation/{source}/seed42/completions.jsonl.gz" for source in ("villain", "comedian")]
    before = [path.read_bytes() for path in files]
    sorted((home / "restart/completions/evaluation/comedian/seed42").glob("*.gz"))[0].unlink()
    project_copy.edit_config(evaluation__adapters_per_job=2)
    assert project_copy.planned("evaluations") == {"sample_completions_1": 1, "score_leakage": 2, "evaluations": 1}
    log = project_copy.run("--cores", "1").stdout
    assert "replies villain/seed42: 24 of 24 replies are kept" in log and "replies comedian/seed42: 16 of 24 replies are kept" in log
    assert [path.read_bytes() for path in files] == before
    states = [read_json(path.parent / "completions.json")["meta"]["state"] for path in files]
    assert states == ["villain/seed42", "comedian/seed42"]
    assert project_copy.planned() == {}


def test_a_lost_figure_is_one_job(project_copy):
    for path in (project_copy.folder / "results/tiny/figures").rglob("scatter.*"):
        path.unlink()
    assert project_copy.planned("scatter") == {"plot_scatter": 1, "scatter": 1}
    project_copy.run("--cores", "1", "scatter")
    assert project_copy.file("results/tiny/figures/*/seed42/scatter.pdf").stat().st_size > 0


@pytest.mark.parametrize(
    ("module", "stale"),
    [
        ("persona_leakage/scatter.py", {"plot_scatter": 1, **END}),
        ("persona_leakage/plot_style.py", {**FIGURES, **END}),
        ("plot_scatter.py", {"plot_scatter": 1, **END}),
        ("persona_leakage/correlation.py", STATISTICS),
        ("persona_leakage/resampling.py", STATISTICS),
        ("persona_leakage/text_similarity.py", ANALYSIS),
        ("persona_leakage/pairs_file.py", {**OF_PAIRS, **STATISTICS}),
        ("persona_leakage/scoring.py", {"score_leakage": 2, "score_base_leakage": 1, **SCORES}),
        ("persona_leakage/training.py", RETRAINED),
        ("persona_leakage/hidden_states.py", {"extract_centroids": 1, **ANALYSIS}),
        ("persona_leakage/row_display.py", {}),
        ("with_gpu.py", {}),  # which device a job runs on decides no number
        ("persona_leakage/gpu_lease.py", {}),
    ],
)
def test_an_edit_makes_its_users_stale(project_copy, module, stale):
    path = project_copy.folder / "workflow_scripts" / module
    path.write_text(path.read_text() + "\n# edited\n")
    assert project_copy.planned() == stale


@pytest.mark.parametrize(
    ("changes", "stale"),
    [
        ({"training__learning_rate": 0.04}, RETRAINED),
        (
            {"training__epochs": 4, "training__batch_size": 8},
            RETRAINED,
        ),
        ({"labels__loss_scope": "marker"}, ALL_STAGES),
        ({"training_data__negative_personas": 2}, ALL_STAGES),
        ({"evaluation__sampling_seed": 1}, NEW_REPLIES),
        ({"behaviour__detector": "any_case"}, {"score_leakage": 2, "score_base_leakage": 1, **SCORES}),
        ({"evaluation__sampling__temperature": 0.9}, NEW_REPLIES),
        ({"geometry__precision": "bfloat16"}, {"extract_centroids": 1, **ANALYSIS}),
        ({"geometry__headline_layer": 3}, {**OF_PAIRS, **STATISTICS}),
        ({"analysis__min_category_size": 4}, STATISTICS),
        ({"analysis__permutations": 999}, STATISTICS),
        ({"analysis__bootstraps": 300}, STATISTICS),
        (
            {"personas__sources": ["villain", "comedian", "assistant"]},
            {"build_training_set": 1, "train_adapter": 1, "sample_completions": 1, "score_leakage": 1, **SCORES, "plot_training": 1},
        ),
        (
            {"training__seeds": [42, 7]},
            {**RETRAINED, "compare_seeds": 1, "plot_seed_stability": 1},
        ),
        ({"analysis__league": True}, {**LEAGUE, **END}),
        ({"analysis__divergence": {"replies_per_question": 1, "tokens": 4}}, {"measure_divergence": 1, **LEAGUE, **END}),
        (
            {"personas__panel": ["villain", "comedian", "assistant", "pirate", "nurse", "hero", "monk"]},
            {"extract_centroids": 1, **NEW_REPLIES},
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_change_of_config_makes_its_users_stale(project_copy, changes, stale):
    """Each change rebuilds the stages that use the value, what hangs on them, and the written-down config."""
    if "training__epochs" in changes:
        config = yaml.safe_load((project_copy.folder / "config.yaml").read_text())["training"]
        assert (config["epochs"], config["batch_size"]) == (8, 4), "the point is that two values are swapped"
    project_copy.edit_config(**changes)
    assert project_copy.planned() == {"write_run_config": 1, **stale}


@pytest.mark.parametrize(
    ("old", "new", "stale"),
    [
        ("Arr! Ye be a pirate captain", "Arr! You be a pirate captain", {"extract_centroids": 1, **NEW_REPLIES}),
        ("You dive to the ocean floor", "You swim to the ocean floor", {}),
        ("# The 111 personas", "# All 111 personas", {}),
    ],
)
def test_an_edited_persona_makes_its_users_stale(project_copy, old, new, stale):
    path = project_copy.folder / "resources/personas.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert project_copy.planned() == stale


def test_a_copy_of_the_personas_file_makes_nothing_stale(project_copy):
    shutil.copy(project_copy.folder / "resources/personas.yaml", project_copy.folder / "mine.yaml")
    project_copy.edit_config(personas__file="mine.yaml")
    assert project_copy.planned() == {"write_run_config": 1, **END}
