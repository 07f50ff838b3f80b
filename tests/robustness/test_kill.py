"""Twenty seeded SIGKILLs: each stage that samples, trains or computes is killed at random points and must end as if nothing had been."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import make_tiny_project
from tests.support.job_commands import digests, finish, job_command, kill_after, seeded, start, with_options

pytestmark = pytest.mark.slow  # test_faults.py kills training and sampling once each
TRIALS = 4
HOME = "results/tiny/"
ADAPTER = f"{HOME}training/villain/seed42/"
REPLIES = f"{HOME}evaluation/evaluation/"
# {stage: (the target, the files that must come out the same, options that make restart points more frequent)}
STAGES = {
    "sample_training_pool": (f"{HOME}training/pool.jsonl.gz", [f"{HOME}training/pool.jsonl.gz"], ""),
    "train_adapter": (
        f"{ADAPTER}metrics.json",
        [f"{ADAPTER}adapter/adapter_model.safetensors", f"{ADAPTER}adapter/adapter_config.json"],
        "--checkpoint-seconds 0",
    ),
    "sample_base_completions": (f"{REPLIES}base/completions.jsonl.gz", [f"{REPLIES}base/completions.jsonl.gz"], ""),
    "sample_completions": (f"{REPLIES}villain/seed42/completions.jsonl.gz", [f"{REPLIES}villain/seed42/completions.jsonl.gz"], ""),
    "extract_centroids": (
        f"{HOME}geometry/evaluation/base/centroids_layer3.pt",
        [f"{HOME}geometry/evaluation/base/centroids_layer{layer}.pt" for layer in (1, 3)],
        "--chunk-size 4",
    ),
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, tiny_model):
    """A tiny experiment with more work in each stage, run to its centroids and replies; and each stage's command."""
    project = make_tiny_project(tmp_path_factory.mktemp("kill") / "project", tiny_model.parent)
    project.edit_config(
        questions__training={"set": "training", "count": 30},
        questions__evaluation=[{"set": "evaluation", "count": 12}],
        evaluation__samples_per_question=3,
        personas__sources=["villain"],
    )
    project.run("--cores", "2", "--", "centroids", *(target for target, _, _ in STAGES.values()))
    commands = {stage: with_options(job_command(project, target), more) for stage, (target, _, more) in STAGES.items()}
    return project, commands


def copy_without(project, folder, stage):
    """A copy of the project in which the stage has still to run; returns its folder."""
    shutil.copytree(project.folder, folder, copy_function=shutil.copy2)
    target, files, _ = STAGES[stage]
    for name in (target, *files):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "results/.kept")
    return folder


def run_trial(project, command, folder, stage, trial):
    """Kill the stage once or twice at random points, then let it end; returns (what it printed each time, digests of its files)."""
    random = seeded("kill", stage, trial)
    copy_without(project, folder, stage)
    printed = [kill_after(start(command, folder), random.randint(1, 40), random.uniform(0, 0.1)) for _ in range(1 + trial % 2)]
    code, last = finish(command, folder)
    assert code == 0, last
    return [*printed, last], digests(folder, STAGES[stage][1])


@pytest.mark.parametrize("stage", STAGES)
def test_killed_stages_end_as_if_undisturbed(undisturbed, tmp_path, stage):
    project, commands = undisturbed
    expected = digests(project.folder, STAGES[stage][1])
    with ThreadPoolExecutor(max_workers=2) as pool:
        trials = list(pool.map(lambda trial: run_trial(project, commands[stage], tmp_path / str(trial), stage, trial), range(TRIALS)))
    assert [found for _, found in trials] == [expected] * TRIALS
    resumed = ("resuming at step", "are kept from earlier")
    assert any(word in printed[-1] for printed, _ in trials for word in resumed), "no trial was killed between two restart points"
