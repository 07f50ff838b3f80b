"""Publishing: off by default, asked for by name; runs on W&B without network, read back by wandb's own `sync`."""

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json
from persona_leakage.publishing.common import describe_files, publishing_block, read_key
from tests.conftest import CONFIG, ROOT, Project, places_of, run_program
from tests.wandb_server import WandbServer

KEY = "0123456789abcdef" * 3
WANDB_JOBS = {"publish_wandb": 2, "publish_wandb_experiment": 1, "wandb": 1}


@pytest.fixture
def published(project_copy, tmp_path):
    """(project, results folder, what the run said) after an offline publication with a key in the environment that it has no use for."""
    env = {"WANDB_API_KEY": KEY, "HOME": str(tmp_path / "home")}
    said = project_copy.run("--cores", "2", "wandb", env=env).stdout
    return project_copy, project_copy.folder / "results/tiny", said


@pytest.mark.slow
def test_nothing_is_published_unless_asked_for(finished_project, tmp_path):
    fresh = Project(tmp_path / "fresh").planned("all")
    assert fresh["train_adapter"] == 3 and not [rule for rule in fresh if "publish" in rule or rule in ("wandb", "hub")]
    assert finished_project.planned() == {}
    assert finished_project.planned("wandb") == WANDB_JOBS


@pytest.mark.slow
def test_a_config_that_lacks_what_a_service_needs_is_refused(project_copy):
    done = project_copy.run("-n", "hub", check=False)
    assert done.returncode != 0 and "publishing.hub.owner: null; give the user or organisation" in done.stdout
    project_copy.edit_config(publishing__hub={"owner": "somebody", "private": True, "license": None})
    assert project_copy.planned("hub") == {"publish_hub": 2, "hub": 1}
    project_copy.edit_config(publishing={})
    done = project_copy.run("-n", "wandb", check=False)
    assert done.returncode != 0 and "publishing.wandb: missing" in done.stdout
    assert project_copy.planned() == {}, "the experiment itself needs no such block"


def test_publishing_is_no_part_of_the_results(project_copy):
    """Another project or owner makes no result stale, and stands in none."""
    project_copy.edit_config(publishing__wandb__project="elsewhere", publishing__hub__owner="somebody")
    assert project_copy.planned() == {}
    run_config = yaml.safe_load((project_copy.folder / "results/tiny/run_config.yaml").read_text())
    assert "publishing" not in run_config["config"]


def test_a_run_folder_holds_what_the_receipt_says(published, tmp_path):
    """Read back with `wandb sync` into a server: history, summary, and every file by the digest of its bytes."""
    project, home, _ = published
    receipts = [read_json(home / f"published/wandb/{name}.json") for name in ("villain/seed42", "comedian/seed42", "experiment")]
    with WandbServer(KEY) as server:
        for receipt in receipts:
            sync(project.folder, receipt, server, tmp_path)
        for receipt in receipts:
            files, manifest = server.files_of(receipt["artifact"]["name"]), server.manifest_of(receipt["artifact"]["name"])
            assert set(files) == set(manifest) == set(receipt["files"])
            for name, content in files.items():
                assert content == (home / name).read_bytes()
                assert receipt["files"][name] == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
                assert manifest[name] == base64.b64encode(hashlib.md5(content).digest()).decode()
            artifact = server.artifacts[server.key_of(receipt["artifact"]["name"])]
            assert artifact["type"] == "eval-results" and artifact["digest"] == receipt["artifact"]["digest"]
            run = server.runs[receipt["run"]["id"]]
            assert (run["project"], run["groupName"], run["state"]) == ("persona-leakage", "tiny", "finished")
        metrics = read_json(home / "training/villain/seed42/metrics.json")
        run = server.runs[receipts[0]["run"]["id"]]
        assert [row["train/loss"] for row in run["history"]] == pytest.approx(metrics["loss"])
        rate = read_json(home / "evaluation/evaluation/villain/seed42/summary.json")["mean_bystander_rate"]
        assert run["summary"]["evaluation"]["evaluation"]["mean_bystander_rate"] == rate
        names = {Path(name).name for name in receipts[2]["files"]}
    wanted = {
        "marker_eval.json",
        "completions.jsonl.gz",
        "summary.json",
        "centroids_layer3.pt",
        "pairs.csv",
        "correlation.json",
        "index.html",
    }
    assert wanted <= names


def sync(folder, receipt, server, tmp_path):
    """Run the command that a receipt gives, against a server."""
    program, *arguments = receipt["to_upload"].split()
    env = {
        "PATH": str(Path(sys.executable).parent),
        "HOME": str(tmp_path / "home"),
        "WANDB_API_KEY": KEY,
        "WANDB_BASE_URL": server.url,
        "WANDB_ERROR_REPORTING": "false",
    }
    done = subprocess.run([Path(sys.executable).with_name(program), *arguments], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_second_time_there_is_nothing_to_do(published):
    """Nor after an edit of the report for the adapters; a lost receipt is written anew for the run folder that is there."""
    project, home, _ = published
    assert project.planned("wandb") == {}
    report = project.folder / "workflow_scripts/persona_leakage/reporting/report.py"
    text = report.read_text()
    report.write_text(text + "\nedited = 1\n")
    assert project.planned("wandb") == {"build_report": 1, "publish_wandb_experiment": 1, "wandb": 1}
    report.write_text(text)
    folder = home / "published/wandb"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.suffix != ".json"}
    receipt = read_json(folder / "villain/seed42.json")
    (folder / "villain/seed42.json").unlink()
    said = project.run("--cores", "1", "wandb").stdout
    assert "already there: run" in said and "published: run" not in said
    assert {path: path.stat().st_mtime_ns for path in before} == before
    again = read_json(folder / "villain/seed42.json")
    assert {key: value for key, value in again.items() if key != "meta"} == {key: value for key, value in receipt.items() if key != "meta"}


# Kills itself where the run is begun and nothing is logged yet.
KILLED = """
import os, signal, sys
import persona_leakage.publishing.wandb as runs
runs.log_run = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
import publish_wandb
publish_wandb.main(sys.argv[1:])
"""


def test_a_run_folder_of_a_killed_job_is_not_taken_for_a_whole_one(finished_project, tmp_path):
    home, folder = finished_project.folder / "results/tiny", tmp_path / "published"
    settings = {"experiment": "tiny", "questions": ["evaluation"], "wandb": CONFIG["publishing"]["wandb"]}
    arguments = ["--settings", json.dumps(settings), "--results", home, "--source", "villain", "--seed", "42", "--run-folders", folder]
    arguments = [*map(str, arguments), "--files", str(home / "training/villain/manifest.json"), "--output", str(folder / "villain.json")]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "workflow_scripts")}
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert list(folder.glob("unfinished/*/wandb/offline-run-*")) and not list(folder.glob("*.json"))
    done = run_program("publish_wandb", *arguments, cwd=tmp_path)
    assert done.stdout.startswith("published: run"), done.stdout + done.stderr
    assert not (folder / "unfinished").exists()
    (whole,) = folder.glob("offline-run-*")
    assert str(whole) == read_json(folder / "villain.json")["run_folder"]


def test_the_key_is_nowhere(published, tmp_path):
    """In no receipt, run folder, log or message, nor in the home folder."""
    project, _, said = published
    assert KEY not in said
    assert places_of(KEY, project.folder, tmp_path / "home") == []
    (project.folder / "logs/leak.log").write_text(f"key={KEY}")
    assert [path.name for path in places_of(KEY, project.folder)] == ["leak.log"]


def test_keys_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", " made-up ")
    assert read_key("WANDB_API_KEY", "this") == "made-up"
    for value in ("", " "):
        monkeypatch.setenv("WANDB_API_KEY", value)
        with pytest.raises(InputError, match="WANDB_API_KEY: not set in the environment; this needs it"):
            read_key("WANDB_API_KEY", "this")


def test_the_shipped_config_publishes_offline_into_a_named_project():
    assert publishing_block(CONFIG, "wandb") == {"project": "persona-leakage", "entity": None, "mode": "offline"}
    with pytest.raises(InputError, match=r"publishing\.hub\.owner"):
        publishing_block(CONFIG, "hub")


def test_files_that_are_not_what_their_record_says_are_refused(project_copy):
    home = project_copy.folder / "results/tiny"
    folder = home / "evaluation/evaluation/base"
    (folder / "completions.jsonl.gz").write_bytes(b"other replies")
    with pytest.raises(InputError, match=r"completions\.jsonl\.gz: is not the file that .*completions\.json describes"):
        describe_files(home, [folder / "completions.jsonl.gz"])
    with pytest.raises(InputError, match="nothing: no such file"):
        describe_files(home, [home / "nothing"])
