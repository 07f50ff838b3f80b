"""Kills, signals, two runs at once, jumping clocks: the next run goes on from there and ends with the same bytes."""

import gzip
import hashlib
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from persona_leakage.infrastructure.files import read_json
from tests.conftest import ROOT, project_at, warm_python
from tests.robustness.test_untrusted_files import Harmful
from tests.support.job_commands import finish, job_command, start

FEW_KEPT = " 24 of 696 new replies are kept"  # of 720, 24 were there before
LONG_TARGET = "results/tiny/evaluation/evaluation/villain/seed42/completions.json"


def kept_of_villain(output):
    """How many of the 720 replies a job found from earlier."""
    return int(re.search(r"replies villain/seed42: (\d+) of 720 replies are kept from earlier", output)[1])


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
    """The program and arguments of a long training run as a function of its output folder, with a checkpoint after every step."""
    project = finished_project.folder
    rows = project / "results/tiny/training/villain"
    settings = json.loads((rows / "seed42/metrics.json").read_text())["settings"] | {"epochs": 40}

    def command(name):
        return [
            str(ROOT / "workflow_scripts/train_adapter.py"),
            *("--settings", json.dumps({"training": settings})),
            *("--source", "villain", "--seed", "42", "--checkpoint-seconds", "0"),
            *("--model", str(project / "resources/models/tiny/model.json")),
            *("--rows", str(rows / "train.jsonl.gz"), "--rows-manifest", str(rows / "manifest.json")),
            *("--restart", str(tmp_path / name / "restart")),
            *("--output-folder", str(tmp_path / name / "adapter"), "--metrics", str(tmp_path / name / "metrics.json")),
        ]

    return command


def let_end(command):
    """Run a training to its end; returns the finished process."""
    return subprocess.run([warm_python(), *command], capture_output=True, text=True)


def kill_training(command, folder, text):
    """Kill a training, which is a Python of its own, at a line of its output."""
    kill_at([sys.executable, *command], folder, text)


def test_killed_training_resumes_to_the_same_bytes(training_command, tmp_path):
    let_end(training_command("undisturbed")).check_returncode()
    kill_training(training_command("killed"), tmp_path, "checkpoint behind step 10")
    assert not (tmp_path / "killed/metrics.json").exists()
    again = let_end(training_command("killed")).stdout
    metrics = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("undisturbed", "killed")]
    assert metrics[1]["resumed_from_step"] >= 10
    assert f"resuming at step {metrics[1]['resumed_from_step']}" in again
    assert metrics[0]["adapter_sha256"] == metrics[1]["adapter_sha256"]
    assert metrics[0]["loss"] == metrics[1]["loss"]
    assert not list((tmp_path / "killed/restart").iterdir())


@pytest.mark.slow
def test_a_checkpoint_that_could_run_code_is_left_aside(training_command, tmp_path):
    kill_training(training_command("run"), tmp_path, "checkpoint behind step 5")
    (checkpoint,) = (tmp_path / "run/restart").glob("*.pt")
    torch.save({"adapter": Harmful(tmp_path / "proof")}, checkpoint)
    again = let_end(training_command("run")).stdout
    assert f"training starts anew: {checkpoint}: holds more than tensors" in again and "starting at step 0" in again
    assert not (tmp_path / "proof").exists()


@pytest.mark.slow
def test_a_changed_setting_does_not_resume(training_command, tmp_path):
    """A checkpoint of other settings is not a place to go on from."""
    kill_training(training_command("run"), tmp_path, "checkpoint behind step 5")
    command = training_command("run")
    place = command.index("--settings") + 1
    settings = json.loads(command[place])
    settings["training"]["learning_rate"] /= 2
    command[place] = json.dumps(settings)
    (checkpoint,) = (tmp_path / "run/restart").glob("*.pt")
    assert "starting at step 0" in let_end(command).stdout
    assert [*checkpoint.parent.iterdir()] == [checkpoint], "the old settings may come back"


@pytest.mark.slow
def test_killed_workflow_resumes_to_the_same_replies(long_project):
    """Snakemake and its job killed while sampling; run again, it resumes, and the replies are those of a run without a kill."""
    project, expected = long_project
    kill_at([sys.executable, "-m", "snakemake", "--cores", "1", LONG_TARGET], project.folder, FEW_KEPT)
    assert not (project.folder / LONG_TARGET).exists()
    (project.folder / LONG_TARGET.replace(".json", ".jsonl.gz")).touch()  # as if it had been killed between its two outputs
    project.run("--unlock")
    again = project.run("--cores", "1", LONG_TARGET).stdout
    assert kept_of_villain(again) >= 48  # the 24 that were there before, and those of the killed job
    assert read_json(project.folder / LONG_TARGET)["sha256"] == expected


def test_replies_of_other_code_are_not_reused(project_copy):
    """An edited sampler must show in the replies: replies kept from the old code are no restart points."""
    target = "results/tiny/evaluation/evaluation/base/completions.json"
    sampler = project_copy.folder / "workflow_scripts/persona_leakage/inference/top_p_sampling.py"
    edited = "\n\ndef draw_tokens(logits, uniforms, temperature, top_p):\n    return logits.argmax(-1) * 0 + 5\n"
    sampler.write_text(sampler.read_text() + edited)
    project_copy.run("--cores", "1", target)
    with gzip.open(project_copy.folder / target.replace(".json", ".jsonl.gz"), "rt") as lines:
        assert {token for line in lines for token in json.loads(line)["token_ids"]} == {5}


def test_kept_work_is_marked_with_the_code_that_made_it(tmp_path):
    """That of the program and its modules when it began, whatever becomes of the files while it runs."""
    shutil.copytree(ROOT / "workflow_scripts/persona_leakage", tmp_path / "persona_leakage", ignore=shutil.ignore_patterns("__pycache__"))
    module, program = tmp_path / "persona_leakage/infrastructure/seeds.py", tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        "from persona_leakage.infrastructure import seeds\n"
        "from persona_leakage.infrastructure.provenance import loaded_code_digest\n"
        "open(seeds.__file__, 'a').write(sys.argv[1])\n"
        "print(loaded_code_digest())\n"
    )

    def digest(addition):
        return subprocess.run([sys.executable, program, addition], capture_output=True, text=True, check=True).stdout

    (tmp_path / "persona_leakage/.#seeds.py").symlink_to("nobody@host.1:2")  # as Emacs marks an unsaved file
    first, unchanged = digest(""), digest("edited = 1\n")
    assert first == unchanged != digest("")
    module.write_text((ROOT / "workflow_scripts/persona_leakage/infrastructure/seeds.py").read_text())
    assert digest("") == first
    (tmp_path / "link").symlink_to(tmp_path)
    program.write_text(program.read_text() + "another = 1\n")
    assert digest("") != first
    through_a_link = subprocess.run([sys.executable, tmp_path / "link/program.py", ""], capture_output=True, text=True, check=True).stdout
    assert through_a_link == digest("")


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
    done = let_end(command)
    assert done.returncode == 1 and "training.learning_rate: the loss is" in done.stderr
    assert not (tmp_path / "diverged/adapter").exists()


def start_workflow(project, *arguments):
    """Snakemake in a process group of its own, its output line by line."""
    return start(shlex.join([sys.executable, "-m", "snakemake", *arguments]), project.folder)


LONG = {"questions__evaluation": [{"set": "evaluation", "count": 20}], "evaluation__samples_per_question": 6}


@pytest.fixture(scope="module")
def undisturbed(finished_project, tmp_path_factory):
    """The digest that an undisturbed run gives to 720 replies."""
    project = project_at(tmp_path_factory.mktemp("undisturbed") / "project")
    shutil.copytree(finished_project.folder, project.folder, copy_function=shutil.copy2)
    project.edit_config(**LONG)
    project.run("--cores", "1", LONG_TARGET)
    return read_json(project.folder / LONG_TARGET)["sha256"]


@pytest.fixture
def long_project(project_copy, undisturbed):
    """A copy with 720 replies to sample, and the digest that an undisturbed run gives them."""
    project_copy.edit_config(**LONG)
    return project_copy, undisturbed


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)], ids=lambda how: how.name)
def test_an_interrupted_workflow_goes_on(long_project, how):
    """Ctrl-C reaches Snakemake and its jobs, SIGTERM (a service manager, a batch system) too: no lock is left, and the next run goes on."""
    project, expected = long_project
    process = start_workflow(project, "--cores", "1", LONG_TARGET)
    for line in process.stdout:
        if FEW_KEPT in line:
            os.killpg(process.pid, how)
            break
    process.communicate()
    assert process.returncode != 0
    assert not (project.folder / LONG_TARGET).exists()
    again = project.run("--cores", "1", LONG_TARGET).stdout
    assert kept_of_villain(again) >= 48
    assert read_json(project.folder / LONG_TARGET)["sha256"] == expected


@pytest.mark.slow
def test_two_workflows_in_one_folder_do_not_meet(long_project):
    """The second is refused and told why, and does not disturb the first."""
    project, expected = long_project
    first = start_workflow(project, "--cores", "1", LONG_TARGET)
    for line in first.stdout:
        if FEW_KEPT in line:
            break
    os.killpg(first.pid, signal.SIGSTOP)  # or it might be through before the second has started
    second = project.run("--cores", "1", LONG_TARGET, check=False)
    os.killpg(first.pid, signal.SIGCONT)
    assert second.returncode != 0 and "Directory cannot be locked" in second.stdout
    output, _ = first.communicate()
    assert first.returncode == 0, output
    assert read_json(project.folder / LONG_TARGET)["sha256"] == expected


@pytest.mark.slow  # test_writers.py has two writers of one file
def test_two_jobs_for_the_same_file_do_not_meet(long_project):
    """As when a cluster's job outlives a killed Snakemake and its next run starts another: both end well, with the same bytes."""
    project, expected = long_project
    command = job_command(project, LONG_TARGET)
    (project.folder / "results/tiny/evaluation/evaluation/villain/seed42/completions.jsonl.gz").unlink()
    first = start(command, project.folder)
    for line in first.stdout:
        if FEW_KEPT in line:
            break
    code, output = finish(command, project.folder)
    assert code == 0 and kept_of_villain(output) >= 48, output
    output, _ = first.communicate()
    assert first.returncode == 0, output
    assert read_json(project.folder / LONG_TARGET)["sha256"] == expected
    path = project.folder / LONG_TARGET.replace(".json", ".jsonl.gz")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == expected


@pytest.mark.parametrize(
    "years",
    [pytest.param((-20, 0), marks=pytest.mark.slow), pytest.param((0, 20), marks=pytest.mark.slow), (-20, 20)],
    ids=["the past", "the future", "both"],
)
def test_a_clock_that_jumped_makes_nothing_stale(project_copy, years):
    """Files of any age, also from the future: what counts is their content."""
    generator = random.Random(7)
    for path in sorted(project_copy.folder.rglob("*")):
        if path.is_file() and ".snakemake" not in path.parts:
            moment = path.stat().st_mtime + generator.uniform(*years) * 365 * 86_400
            os.utime(path, (moment, moment))
    assert project_copy.planned() == {}
