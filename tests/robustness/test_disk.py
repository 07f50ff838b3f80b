"""A disk that is full or read-only while a stage writes: named, nothing finished lost, and the next run ends as if nothing had been."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.job_commands import digests, finish, job_command, with_options

HOME = "results/tiny/"
ANALYSIS = HOME + "analysis/evaluation/seed42/"
# {target of the stage: what its job writes, in that order}; the others write through atomic_path alone, as correlate_leakage does.
# Without the adapter's metrics.json, which cannot run out of space: peft's card of the adapter, gone by then, takes more.
STAGES = {
    "training/pool.jsonl.gz": ["training/pool.jsonl.gz", "training/pool.json"],
    "training/villain/seed42/metrics.json": [
        "training/villain/seed42/adapter/adapter_model.safetensors",
        "training/villain/seed42/adapter/adapter_config.json",
    ],
    "evaluation/evaluation/villain/seed42/completions.jsonl.gz": [
        f"evaluation/evaluation/villain/seed42/completions.{ending}" for ending in ("jsonl.gz", "json")
    ],
    "geometry/evaluation/base/centroids.json": [
        f"geometry/evaluation/base/{name}" for name in ("centroids_layer1.pt", "centroids_layer3.pt", "centroids.json")
    ],
    "analysis/evaluation/seed42/correlation.json": ["analysis/evaluation/seed42/correlation.json"],
    "figures/evaluation/seed42/scatter.png": [f"figures/evaluation/seed42/scatter.{ending}" for ending in ("pdf", "png", "svg")],
}
# {target of a stage that keeps unfinished work under results/.kept/: options with which it does so at once}
KEEPING = {
    "training/pool.jsonl.gz": "",
    "training/villain/seed42/metrics.json": "--checkpoint-seconds 0",
    "evaluation/evaluation/villain/seed42/completions.jsonl.gz": "",
    "geometry/evaluation/base/centroids.json": "",
}
QUICK = ("training/pool.jsonl.gz", "analysis/evaluation/seed42/correlation.json", "figures/evaluation/seed42/scatter.png")
# These say how long it took; the bytes of all others come back the same.
TIMED = ("pool.json", "completions.json", "centroids.json")
PAGE = 4096  # the least that a file takes on the small disk
SMALL = "16m"


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """A function that mounts a small disk at a folder; all are unmounted at the end."""
    mounted = []

    def mount(folder, *options):
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", folder], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"mounting a small disk needs root: {done.stderr.strip()}")
        mounted.append(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="module")
def project_without_results(finished_project, tmp_path_factory, small_disk):
    """A copy of the finished experiment with an empty disk at results/; and the command of each stage's job."""
    folder = tmp_path_factory.mktemp("disk") / "project"
    shutil.copytree(finished_project.folder, folder, ignore=shutil.ignore_patterns("results"), copy_function=shutil.copy2)
    (folder / "results").mkdir()
    small_disk(folder / "results")
    return folder, {target: job_command(finished_project, HOME + target) for target in STAGES}


@pytest.fixture
def project_on_small_disk(project_without_results, finished_project):
    """The same with its results on that disk, as they were when the experiment had ended."""
    folder, commands = project_without_results
    for part in (HOME, *(f"results/.kept/{kind}" for kind in ("replies", "hidden_states"))):
        shutil.copytree(finished_project.folder / part, folder / part, copy_function=shutil.copy2)
    yield folder, commands
    for place in (folder / "results").iterdir():
        shutil.rmtree(place) if place.is_dir() else place.unlink()


def fill(folder, room):
    """Write a file that leaves ``room`` bytes of space, some multiple of PAGE; returns its path."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as content:
        for size in (2**20, 2**12, 1):
            try:
                while True:
                    content.write(bytes(size))
            except OSError:
                continue
        content.truncate(content.tell() - room)
    assert shutil.disk_usage(folder).free == room
    return ballast


def starve(folder, command, room):
    """Run a job that finds ``room`` bytes of space, which are not enough; returns (its output, names of new files).

    It must say why it ended, and no file that was there may have changed.
    """
    before = digests(folder, files_of(folder))
    ballast = fill(folder / "results", room)
    try:
        code, output = finish(command, folder)
    finally:
        ballast.unlink()
    assert code == 1 and "Traceback" not in output, output
    assert "error: cannot write " in output and "No space left on device" in output and "Finished results are safe" in output, output
    after = digests(folder, files_of(folder))
    assert {name: after.get(name) for name in before} == before
    return output, after.keys() - before.keys()


def files_of(folder):
    return [str(path.relative_to(folder)) for path in folder.glob("results/**/*") if path.is_file()]


def remove(folder, names):
    for name in names:
        (folder / name).unlink()


@pytest.mark.parametrize("target", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in STAGES])
def test_a_full_disk_loses_nothing(project_on_small_disk, target):
    """At every output of every stage: those before it are there, of itself nothing; the job goes through as soon as there is space."""
    folder, commands = project_on_small_disk
    outputs = [HOME + name for name in STAGES[target]]
    expected = digests(folder, [name for name in outputs if not name.endswith(TIMED)])
    room = [-(-(folder / name).stat().st_size // PAGE) * PAGE for name in outputs]
    remove(folder, outputs)
    for number, output in enumerate(outputs):
        earlier = [] if output.endswith("adapter_config.json") else outputs[:number]  # it comes with the weights, both or none
        said, new = starve(folder, commands[target], sum(room[:number]))
        assert f"error: cannot write {outputs[len(earlier)]}: " in said
        assert new == set(earlier)
        remove(folder, new)
    code, said = finish(commands[target], folder)
    assert code == 0, said
    assert digests(folder, expected) == expected


@pytest.mark.parametrize("target", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in KEEPING])
def test_a_full_disk_while_finished_work_is_kept(project_on_small_disk, target):
    """No output is begun, and of the finished work no part that is not whole is left."""
    folder, commands = project_on_small_disk
    shutil.rmtree(folder / "results/.kept")
    said, new = starve(folder, with_options(commands[target], KEEPING[target]), 0)
    assert "error: cannot write results/.kept/" in said and new == set()


def test_read_only_results_are_named(project_on_small_disk):
    """Results on a disk that turned read-only: Snakemake and each program say which file, and nothing is touched."""
    folder, commands = project_on_small_disk
    before = {path: path.stat().st_mtime_ns for path in folder.glob("results/**/*")}
    subprocess.run(["mount", "-o", "remount,ro", folder / "results"], check=True)
    try:
        code, output = finish(commands["analysis/evaluation/seed42/correlation.json"], folder)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", folder / "results"], check=True)
    assert code == 1 and f"error: cannot write {ANALYSIS}correlation.json: Read-only file system" in output, output
    assert {path: path.stat().st_mtime_ns for path in folder.glob("results/**/*")} == before
    assert os.access(Path(folder) / ANALYSIS / "correlation.json", os.R_OK)
