"""Kills and signals: the next run resumes and produces the same bytes."""

import gzip
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys

import pytest

from persona_leakage.infrastructure.files import read_json
from tests.conftest import ROOT, copy_of, warm_python
from tests.support.job_commands import start

FEW_KEPT = " 24 of 216 new replies are kept"  # of 240, 24 were there before
LONG_TARGET = "results/tiny/evaluation/evaluation/villain/seed42/completions.json"


def kept_of_villain(output):
    """How many of the 240 replies a job found from earlier."""
    return int(re.search(r"replies villain/seed42: (\d+) of 240 replies are kept from earlier", output)[1])


@pytest.fixture
def training_command(finished_project, tmp_path):
    """The program and arguments of a long training run as a function of its output folder, with a checkpoint after every step."""
    project = finished_project.folder
    rows = project / "results/tiny/training/villain"
    settings = json.loads((rows / "seed42/metrics.json").read_text())["settings"] | {"epochs": 20}

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
    return subprocess.run([warm_python(), *command], capture_output=True, text=True)


def kill_training(command, folder, text):
    """Kill a training, which is a Python of its own, at a line of its output that holds ``text``."""
    process = start(shlex.join(map(str, [sys.executable, *command])), folder)
    for line in process.stdout:
        if text in line:
            os.killpg(process.pid, signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_killed_training_resumes_to_the_same_bytes(training_command, tmp_path):
    let_end(training_command("undisturbed")).check_returncode()
    kill_training(training_command("killed"), tmp_path, "checkpoint saved after step 10")
    assert not (tmp_path / "killed/metrics.json").exists()
    again = let_end(training_command("killed")).stdout
    metrics = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("undisturbed", "killed")]
    assert metrics[1]["resumed_from_step"] >= 10
    assert f"resuming at step {metrics[1]['resumed_from_step']}" in again
    assert metrics[0]["adapter_sha256"] == metrics[1]["adapter_sha256"]
    assert metrics[0]["loss"] == metrics[1]["loss"]
    assert not list((tmp_path / "killed/restart").iterdir())


@pytest.mark.slow
def test_a_changed_setting_does_not_resume(training_command, tmp_path):
    kill_training(training_command("run"), tmp_path, "checkpoint saved after step 5")
    command = training_command("run")
    index = command.index("--settings") + 1
    settings = json.loads(command[index])
    settings["training"]["learning_rate"] /= 2
    command[index] = json.dumps(settings)
    (checkpoint,) = (tmp_path / "run/restart").glob("*.pt")
    assert "starting at step 0" in let_end(command).stdout
    assert [*checkpoint.parent.iterdir()] == [checkpoint], "the old settings may come back"


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


def test_a_diverged_training_says_so(training_command, tmp_path):
    command = training_command("diverged")
    index = command.index("--settings") + 1
    settings = json.loads(command[index])
    settings["training"]["learning_rate"] = 1.0
    settings["training"]["lora"]["alpha"] = 1e300
    command[index] = json.dumps(settings)
    done = let_end(command)
    assert done.returncode == 1 and "training.learning_rate: the loss is" in done.stderr
    assert not (tmp_path / "diverged/adapter").exists()


LONG = {"questions__evaluation": [{"set": "evaluation", "count": 10}], "evaluation__samples_per_question": 4}


@pytest.fixture(scope="module")
def undisturbed(finished_project, tmp_path_factory):
    project = copy_of(finished_project, tmp_path_factory.mktemp("undisturbed") / "project")
    project.edit_config(**LONG)
    project.run("--cores", "1", LONG_TARGET)
    return read_json(project.folder / LONG_TARGET)["sha256"]


@pytest.fixture
def long_project(project_copy, undisturbed):
    """A copy with 240 replies to sample, and the digest that an undisturbed run gives them."""
    project_copy.edit_config(**LONG)
    return project_copy, undisturbed


@pytest.mark.parametrize(
    "how",
    [signal.SIGINT, *(pytest.param(how, marks=pytest.mark.slow) for how in (signal.SIGTERM, signal.SIGKILL))],
    ids=lambda how: how.name,
)
def test_an_interrupted_workflow_goes_on(long_project, how):
    """Signals reach Snakemake and its jobs; only a kill leaves a lock. The replies are those of a run without it."""
    project, expected = long_project
    process = start(shlex.join([sys.executable, "-m", "snakemake", "--cores", "1", LONG_TARGET]), project.folder)
    for line in process.stdout:
        if FEW_KEPT in line:
            os.killpg(process.pid, how)
            break
    process.communicate()
    assert process.returncode != 0
    assert not (project.folder / LONG_TARGET).exists()
    if how == signal.SIGKILL:
        (project.folder / LONG_TARGET.replace(".json", ".jsonl.gz")).touch()  # as if between the two outputs
        project.run("--unlock")
    again = project.run("--cores", "1", LONG_TARGET).stdout
    assert kept_of_villain(again) >= 48
    assert read_json(project.folder / LONG_TARGET)["sha256"] == expected
