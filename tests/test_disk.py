"""A disk that is full or read-only while a stage writes: named, nothing finished lost, and the next run ends as if nothing had been."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.job_commands import digests, finish, job_command

HOME = "results/tiny/"
ANALYSIS = HOME + "analysis/evaluation/seed42/"
# {target of the stage: all that its job writes, of which the bytes must come back the same where they are the same in every run}
STAGES = {
    "training/pool.jsonl.gz": ["training/pool.jsonl.gz"],
    "training/villain/train.jsonl.gz": ["training/villain/train.jsonl.gz"],
    "training/villain/seed42/metrics.json": [
        "training/villain/seed42/adapter/adapter_model.safetensors",
        "training/villain/seed42/adapter/adapter_config.json",
    ],
    "evaluation/evaluation/villain/seed42/completions.jsonl.gz": ["evaluation/evaluation/villain/seed42/completions.jsonl.gz"],
    "evaluation/evaluation/villain/seed42/marker_eval.json": [],
    "geometry/evaluation/base/centroids.json": [f"geometry/evaluation/base/centroids_layer{layer}.pt" for layer in (1, 3)],
    "analysis/evaluation/seed42/pairs.csv": [f"analysis/evaluation/seed42/{name}.csv" for name in ("pairs", "cosines", "question_counts")],
    "analysis/evaluation/seed42/correlation.json": ["analysis/evaluation/seed42/correlation.json"],
    "figures/evaluation/seed42/scatter.png": ["figures/evaluation/seed42/scatter.png"],
    "report/index.html": [],
    "run_config.yaml": [],
}
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
def project_on_small_disk(finished_project, tmp_path_factory, small_disk):
    """A copy of the finished experiment whose results lie on a disk of their own; and the command of each stage's job."""
    folder = tmp_path_factory.mktemp("disk") / "project"
    shutil.copytree(finished_project.folder, folder, ignore=shutil.ignore_patterns("results"), copy_function=shutil.copy2)
    (folder / "results").mkdir()
    small_disk(folder / "results")
    shutil.copytree(finished_project.folder / "results", folder / "results", dirs_exist_ok=True, copy_function=shutil.copy2)
    return folder, {target: job_command(finished_project, HOME + target) for target in STAGES}


def fill(folder):
    """Write a file that takes all the space there is; returns its path."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as content:
        for size in (2**20, 2**12, 1):
            try:
                while True:
                    content.write(bytes(size))
            except OSError:
                continue
    assert shutil.disk_usage(folder).free == 0
    return ballast


@pytest.mark.parametrize("target", STAGES)
def test_a_full_disk_loses_nothing(project_on_small_disk, target):
    """Every output of every stage; the job goes through as soon as there is space."""
    folder, commands = project_on_small_disk
    files = [HOME + name for name in STAGES[target]]
    expected = digests(folder, files)
    for name in {HOME + target, *files}:
        (folder / name).unlink()
    shutil.rmtree(folder / HOME / "restart", ignore_errors=True)
    others = [str(path.relative_to(folder)) for path in folder.glob("results/**/*") if path.is_file()]
    before = digests(folder, others)
    ballast = fill(folder / "results")
    try:
        code, output = finish(commands[target], folder)
    finally:
        ballast.unlink()
    assert code == 1, output
    assert "error: results/tiny/" in output and "No space left on device; nothing finished is lost" in output and "Traceback" not in output
    assert not (folder / HOME / target).exists() and not any((folder / name).exists() for name in files)
    assert {name: digest for name, digest in digests(folder, others).items() if digest != before[name]} == {}
    assert not list(folder.glob("results/**/.*.tmp"))
    code, output = finish(commands[target], folder)
    assert code == 0, output
    assert digests(folder, files) == expected


def test_read_only_results_are_named(project_on_small_disk):
    """Results on a disk that turned read-only: Snakemake and each program say which file, and nothing is touched."""
    folder, commands = project_on_small_disk
    before = {path: path.stat().st_mtime_ns for path in folder.glob("results/**/*")}
    subprocess.run(["mount", "-o", "remount,ro", folder / "results"], check=True)
    try:
        code, output = finish(commands["analysis/evaluation/seed42/correlation.json"], folder)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", folder / "results"], check=True)
    assert code == 1 and f"error: {ANALYSIS}correlation.json: cannot be written: Read-only file system" in output, output
    assert {path: path.stat().st_mtime_ns for path in folder.glob("results/**/*")} == before
    assert os.access(Path(folder) / ANALYSIS / "correlation.json", os.R_OK)
