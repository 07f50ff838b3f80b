"""SIGKILL in the middle: the next run goes on from there and ends with the same bytes."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT
from tests.test_untrusted_files import Harmful


def kill_at(command, cwd, text):
    """Start a process, read its output until a line holds ``text``, kill its whole process group; returns the lines read."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            os.killpg(process.pid, signal.SIGKILL)
            break
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL, "".join(lines)
    return lines


@pytest.fixture
def training_command(finished_project, tmp_path):
    """A long training run as a function of its output folder, with a checkpoint after every step."""
    project = finished_project.folder
    rows = project / "results/tiny/training/villain"
    settings = json.loads((rows / "seed42/metrics.json").read_text())["settings"] | {"epochs": 40}

    def command(name):
        return [
            sys.executable,
            str(ROOT / "workflow_scripts/train_adapter.py"),
            *("--settings", json.dumps({"training": settings})),
            *("--source", "villain", "--seed", "42", "--checkpoint-seconds", "0"),
            *("--model", str(project / "resources/models/tiny/model.json")),
            *("--rows", str(rows / "train.jsonl.gz"), "--rows-manifest", str(rows / "manifest.json")),
            *("--restart", str(tmp_path / name / "restart")),
            *("--output-folder", str(tmp_path / name / "adapter"), "--metrics", str(tmp_path / name / "metrics.json")),
        ]

    return command


def test_killed_training_resumes_to_the_same_bytes(training_command, tmp_path):
    subprocess.run(training_command("undisturbed"), check=True, capture_output=True)
    kill_at(training_command("killed"), tmp_path, "checkpoint behind step 10")
    assert not (tmp_path / "killed/metrics.json").exists()
    again = subprocess.run(training_command("killed"), check=True, capture_output=True, text=True).stdout
    metrics = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("undisturbed", "killed")]
    assert metrics[1]["resumed_from_step"] >= 10
    assert f"resuming at step {metrics[1]['resumed_from_step']}" in again
    assert metrics[0]["adapter_sha256"] == metrics[1]["adapter_sha256"]
    assert metrics[0]["loss"] == metrics[1]["loss"]
    assert not list((tmp_path / "killed/restart").iterdir())


def test_a_checkpoint_that_could_run_code_is_left_aside(training_command, tmp_path):
    kill_at(training_command("run"), tmp_path, "checkpoint behind step 5")
    (checkpoint,) = (tmp_path / "run/restart").glob("*.pt")
    torch.save({"adapter": Harmful(tmp_path / "proof")}, checkpoint)
    again = subprocess.run(training_command("run"), check=True, capture_output=True, text=True).stdout
    assert f"training starts anew: {checkpoint}: holds more than tensors" in again and "starting at step 0" in again
    assert not (tmp_path / "proof").exists()


def test_a_changed_setting_does_not_resume(training_command, tmp_path):
    """A checkpoint of other settings is not a place to go on from."""
    kill_at(training_command("run"), tmp_path, "checkpoint behind step 5")
    command = training_command("run")
    place = command.index("--settings") + 1
    settings = json.loads(command[place])
    settings["training"]["learning_rate"] /= 2
    command[place] = json.dumps(settings)
    assert "starting at step 0" in subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_killed_workflow_resumes_to_the_same_replies(project_copy, tmp_path):
    """Snakemake and its job killed while sampling; run again, it resumes, and the replies are those of a run without a kill."""
    project_copy.edit_config(
        questions__evaluation=[{"set": "evaluation", "count": 20}],
        evaluation__samples_per_question=6,
    )
    undisturbed = type(project_copy).__new__(type(project_copy))
    undisturbed.folder = tmp_path / "undisturbed"
    shutil.copytree(project_copy.folder, undisturbed.folder, copy_function=shutil.copy2)
    target = "results/tiny/evaluation/evaluation/villain/seed42/completions.json"
    undisturbed.run("--cores", "1", target)
    kill_at([sys.executable, "-m", "snakemake", "--cores", "1", target], project_copy.folder, "chunk 3 of 90 is kept")
    assert not (project_copy.folder / target).exists()
    project_copy.run("--unlock")
    again = project_copy.run("--cores", "1", target).stdout
    assert "resuming, " in again and "of 90 chunks" in again
    assert (
        json.loads((project_copy.folder / target).read_text())["sha256"] == json.loads((undisturbed.folder / target).read_text())["sha256"]
    )


def test_replies_of_other_code_are_not_reused(project_copy):
    """An edited sampler must show in the replies: finished chunks of the old code are no restart points."""
    target = "results/tiny/evaluation/evaluation/base/completions.json"
    sampler = project_copy.folder / "workflow_scripts/persona_leakage/token_sampling.py"
    edited = "\n\ndef draw_tokens(logits, uniforms, temperature, top_p):\n    return logits.argmax(-1) * 0 + 5\n"
    sampler.write_text(sampler.read_text() + edited)
    project_copy.run("--cores", "1", target)
    with gzip.open(project_copy.folder / target.replace(".json", ".jsonl.gz"), "rt") as lines:
        assert {token for line in lines for token in json.loads(line)["token_ids"]} == {5}


def test_a_file_that_is_not_the_recorded_one_is_refused(project_copy):
    """Another source's adapter in the place of this one's is noticed by its digest, before anything is sampled with it."""
    home = project_copy.folder / "results/tiny/training"
    weights = "seed42/adapter/adapter_model.safetensors"
    shutil.copy(home / "comedian" / weights, home / "villain" / weights)
    target = "results/tiny/evaluation/evaluation/villain/seed42/completions.json"
    done = project_copy.run("--cores", "1", "--forcerun", "sample_completions", "--", target, check=False)
    assert done.returncode != 0 and "is not the file that results/tiny/training/villain/seed42/metrics.json describes" in done.stdout


def test_lost_replies_are_noticed(project_copy):
    (project_copy.folder / "results/tiny/evaluation/evaluation/villain/seed42/completions.jsonl.gz").unlink()
    assert project_copy.planned()["sample_completions"] == 1


def test_a_diverged_training_says_so(training_command, tmp_path):
    command = training_command("diverged")
    place = command.index("--settings") + 1
    settings = json.loads(command[place])
    settings["training"]["learning_rate"] = 1.0
    settings["training"]["lora"]["alpha"] = 1e300
    command[place] = json.dumps(settings)
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "training.learning_rate: the loss is" in done.stderr
    assert not (tmp_path / "diverged/adapter").exists()
