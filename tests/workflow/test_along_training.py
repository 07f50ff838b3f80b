"""Snapshots of a training, through the whole workflow."""

import pandas as pd
import pytest

from persona_leakage.config.experiment import check_experiment
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json, sha256_of_file
from tests.conftest import CONFIG, finished_with


@pytest.fixture(scope="module")
def project(finished_project, tmp_path_factory):
    """The finished tiny experiment with snapshots, run to its end."""
    return finished_with(
        finished_project, tmp_path_factory.mktemp("snapshots") / "project", evaluation__teacher_forced=True, training__snapshots=3
    )


def test_the_last_snapshot_is_the_adapter_and_measures_the_same(project, finished_project):
    home, before = project.folder / "results/tiny", finished_project.folder / "results/tiny"
    adapter = "training/villain/seed42/adapter/adapter_model.safetensors"
    assert (home / adapter).stat().st_mtime == (before / adapter).stat().st_mtime, "a finished adapter is not trained again"
    snapshots = [home / f"training/villain/seed42/snapshots/{number}" for number in (1, 2, 3)]
    digests = [sha256_of_file(path / "adapter_model.safetensors") for path in snapshots]
    assert digests[2] == sha256_of_file(home / adapter) and len({*digests}) == 3
    steps = read_json(home / "training/villain/seed42/metrics.json")["steps"]
    assert [read_json(path / "metrics.json")["step"] for path in snapshots] == [round(steps / 3), round(2 * steps / 3), steps]
    table = pd.read_csv(home / "analysis/evaluation/seed42/along_training.csv")
    assert list(table["source"]) == ["villain"] * 3 + ["comedian"] * 3
    pairs = pd.read_csv(home / "analysis/evaluation/seed42/pairs.csv")
    chosen = pairs[(pairs["layer"] == 1) & ~pairs["negative"]]
    for source, rows in chosen.groupby("source"):
        last = table[table["source"] == source].iloc[-1]
        assert last["step"] == steps
        found, expected = last[["own_gain", "mean_gain"]].tolist(), [rows["source_logprob_gain"].iloc[0], rows["logprob_gain"].mean()]
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-4, nan_ok=True)
    assert table["own_gain"].notna().any() and table["mean_gain"].notna().any(), "few of the tiny model's replies have an end"


def test_the_report_shows_them_and_nothing_is_left_to_do(project):
    page = (project.folder / "results/tiny/report/index.html").read_text()
    assert ">Leakage along training</h2>" in page and "figures/evaluation/seed42/along_training.png" in page
    assert project.planned() == {}


def test_snapshots_need_the_log_probability():
    config = CONFIG | {"evaluation": CONFIG["evaluation"] | {"teacher_forced": False}, "training": CONFIG["training"] | {"snapshots": 3}}
    with pytest.raises(InputError, match=r"training\.snapshots: 3 needs evaluation\.teacher_forced \(set it, too\); or set it to 0"):
        check_experiment(config)
