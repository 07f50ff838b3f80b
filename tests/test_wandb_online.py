"""Uploads to W&B against a server on this machine: whole, once, and loud when they fail."""

import json
from collections import Counter

import pytest

from persona_leakage.infrastructure.files import read_json
from tests.conftest import places_of, run_program
from tests.wandb_server import WandbServer

KEY = "fedcba9876543210" * 3
# One retry at once: wandb's own patience is minutes.
IMPATIENT = {
    f"WANDB__{kind}_{name}": value
    for kind in ("GRAPHQL", "FILE_STREAM", "FILE_TRANSFER")
    for name, value in (("RETRY_MAX", "1"), ("RETRY_WAIT_MIN_SECONDS", "0.1"), ("RETRY_WAIT_MAX_SECONDS", "0.2"))
}
SETTINGS = {"experiment": "tiny", "questions": ["evaluation"], "wandb": {"project": "persona-leakage", "entity": None, "mode": "online"}}
FILES = ["training/villain/manifest.json", "evaluation/evaluation/villain/seed42/completions.jsonl.gz"]
UPLOADS = {"storage", "CreateArtifact", "CreateArtifactFiles", "CommitArtifact", "UpsertBucket", "CreateRunFiles", "file_stream"}


@pytest.fixture
def server():
    with WandbServer(KEY) as running:
        yield running


@pytest.fixture
def publish(finished_project, tmp_path, monkeypatch):
    """A function that publishes villain's adapter to an address with a key; returns (finished process, receipt or None)."""
    home = finished_project.folder / "results/tiny"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    arguments = ["--settings", json.dumps(SETTINGS), "--source", "villain", "--seed", "42", "--results", str(home)]
    arguments += ["--run-folders", str(tmp_path / "published"), "--files", *(str(home / name) for name in FILES)]
    receipt = tmp_path / "published/villain.json"

    def call(url, key=KEY):
        receipt.unlink(missing_ok=True)
        for name, value in {**IMPATIENT, "WANDB_BASE_URL": url, "WANDB_API_KEY": key}.items():
            monkeypatch.setenv(name, value)
        done = run_program("publish_wandb", *arguments, "--patience", "1", "--output", str(receipt), cwd=tmp_path)
        assert KEY not in done.stdout + done.stderr
        assert places_of(KEY, tmp_path) == []
        return done, read_json(receipt) if receipt.exists() else None

    return call


def steps(server, receipt):
    return [row["_step"] for row in server.runs[receipt["run"]["id"]]["history"]]


def test_an_upload_is_whole_and_happens_once(publish, server, finished_project):
    done, receipt = publish(server.url)
    assert done.returncode == 0, done.stderr
    home = finished_project.folder / "results/tiny"
    assert server.files_of("tiny-villain-seed42") == {name: (home / name).read_bytes() for name in FILES}
    run = server.runs[receipt["run"]["id"]]
    loss = read_json(home / "training/villain/seed42/metrics.json")["loss"]
    assert [row["train/loss"] for row in run["history"]] == pytest.approx(loss)
    assert (run["state"], run["project"], receipt["run"]["entity"]) == ("finished", "persona-leakage", "tester")
    assert run["summary"]["artifact_digest"] == receipt["artifact"]["digest"]
    assert "host" not in run and run["program"] == "publish_wandb.py"
    server.log.clear()
    done, again = publish(server.url)
    assert done.returncode == 0 and done.stdout.startswith("already there")
    assert UPLOADS.isdisjoint(Counter(what for what, _ in server.log))
    assert {key: again[key] for key in ("run", "artifact", "files")} == {key: receipt[key] for key in ("run", "artifact", "files")}


@pytest.mark.parametrize("what", ["UpsertBucket", *(pytest.param(name, marks=pytest.mark.slow) for name in ("storage", "file_stream"))])
def test_a_failing_server_fails_the_job_and_the_next_one_goes_on(publish, server, what):
    """The run cannot be made, files cannot be stored, figures are lost: wandb itself calls the last one a success."""
    server.fail[what] = 500
    done, receipt = publish(server.url)
    assert done.returncode == 1 and receipt is None
    assert "error: publishing to W&B failed; nothing here is lost" in done.stderr and "Traceback" not in done.stderr
    server.fail.clear()
    done, receipt = publish(server.url)
    assert done.returncode == 0 and done.stdout.startswith("published"), done.stderr
    assert steps(server, receipt) == list(range(16))
    assert set(server.files_of("tiny-villain-seed42")) == set(FILES)


@pytest.mark.slow
def test_a_lost_artifact_is_uploaded_again(publish, server):
    _, receipt = publish(server.url)
    server.artifacts.clear()
    done, _ = publish(server.url)
    assert done.stdout.startswith("published") and set(server.files_of("tiny-villain-seed42")) == set(FILES)
    assert steps(server, receipt) == list(range(16))


def test_a_refused_key(publish, server):
    done, receipt = publish(server.url, key="another-key-" * 4)
    assert done.returncode == 1 and receipt is None and "invalid credentials" in done.stderr
    assert server.runs == {} and server.uploads == {}


def test_a_server_that_is_down(publish):
    done, receipt = publish("http://127.0.0.1:9")
    assert done.returncode == 1 and receipt is None and "connection refused" in done.stderr


def test_a_missing_key_is_named_before_anything_is_sent(publish, server):
    done, receipt = publish(server.url, key="")
    assert done.returncode == 1 and receipt is None
    assert done.stderr == "error: WANDB_API_KEY: not set in the environment; publishing.wandb.mode: online needs it\n"
    assert server.log == []


@pytest.mark.slow
def test_the_job_of_the_workflow_fails_loudly(project_copy, tmp_path):
    """Exit code, message, no receipt, results as they were."""
    project_copy.edit_config(publishing__wandb__mode="online")
    home = project_copy.folder / "results/tiny"
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}
    env = {**IMPATIENT, "HOME": str(tmp_path / "home"), "WANDB_API_KEY": KEY, "WANDB_BASE_URL": "http://127.0.0.1:9"}
    done = project_copy.run(
        "--cores", "1", str(home.relative_to(project_copy.folder) / "published/wandb/experiment.json"), env=env, check=False
    )
    assert done.returncode != 0 and "publishing to W&B failed" in done.stdout and "connection refused" in done.stdout
    assert not (home / "published/wandb/experiment.json").exists()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert KEY not in done.stdout and places_of(KEY, project_copy.folder, tmp_path / "home") == []
