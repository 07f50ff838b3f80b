"""The Slurm profile on a real Slurm (slurm_cluster.py): an experiment to its report through faults.

A process is held with SIGSTOP at a line of its log before a fault hits it, so that it is in the middle however fast the machine is.
What comes out is compared with the same experiment without Slurm and without faults.
"""

import json
import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import make_tiny_project
from tests.support.slurm_cluster import (
    NODES,
    PROGRAMS,
    environment,
    environment_of,
    marked_processes,
    slurm,
    start_keeper,
    start_node,
)
from tests.support.slurm_run import PROFILE, Run, jobs_of, lose_node, preempt
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slurm
pytest.importorskip(
    "snakemake_executor_plugin_slurm", reason="Snakemake's Slurm plugin is not installed; make test-slurm installs and tests it"
)
if missing := [program for program in PROGRAMS if not shutil.which(program)]:
    pytest.skip(f"no Slurm here ({missing[0]} is missing); make test-slurm installs and tests it", allow_module_level=True)
if os.geteuid():
    pytest.skip("Slurm's daemons need root here", allow_module_level=True)

EXPERIMENT = "results/tiny"
METRICS = "training/{source}/seed42/metrics.json"
REPLIES = "evaluation/evaluation/{source}/seed42/completions.json"


def content(project, pattern, key):
    return {
        source: json.loads((project.folder / EXPERIMENT / pattern.format(source=source)).read_text())[key]
        for source in ("villain", "comedian")
    }


def digests(project):
    """SHA-256 of the adapters and of the replies of both sources, as their sidecars say; the files are checked against them in the jobs."""
    return content(project, METRICS, "adapter_sha256"), content(project, REPLIES, "sha256")


@contextmanager
def new_folder():
    """A folder for a cluster, for as long as it is in use: not pytest's, which munged's other users could not reach."""
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def cluster():
    """Folder of a running cluster. Nothing of it may be left when the tests are through."""
    with new_folder() as folder:
        keeper = start_keeper(folder)
        yield folder
        keeper.stdin.close()
        assert keeper.wait(60) == 0 and marked_processes(folder) == []


@pytest.fixture(scope="module")
def new_project(tmp_path_factory, tiny_model):
    """A function that makes the experiment of these tests, with jobs long enough to be hit."""

    def make():
        project = make_tiny_project(tmp_path_factory.mktemp("slurm") / "project", tiny_model.parent)
        project.edit_config(
            training__epochs=60, questions__evaluation=[{"set": "evaluation", "count": 10}], evaluation__samples_per_question=6
        )
        rules = project.folder / "rules/training.smk"
        text = rules.read_text()
        assert text.count("--seed {wildcards.seed:q}") == 1
        rules.write_text(text.replace("--seed {wildcards.seed:q}", "--seed {wildcards.seed:q} --checkpoint-seconds 0"))
        return project

    return make


@pytest.fixture(scope="module")
def undisturbed(new_project):
    project = new_project()
    project.run("--cores", "2", *(f"{EXPERIMENT}/{REPLIES.format(source=source)}" for source in ("villain", "comedian")), cold=True)
    return project


@pytest.fixture(scope="module")
def disturbed(new_project, cluster):
    """The whole experiment by the profile, with a fault of another kind in each adapter's and each source's replies' job.

    Returns the finished Run with .code, .text, .places (node and CUDA_VISIBLE_DEVICES of both training jobs) and .hit (the jobs as
    the fault met them).
    """
    run = Run(new_project(), cluster)
    run.hit = {}
    held = run.hold("train_adapter", "checkpoint saved after step 10", "villain", "comedian")
    run.places = [tuple(map(environment_of(pid).get, ("SLURMD_NODENAME", "CUDA_VISIBLE_DEVICES"))) for pid in held.values()]

    run.hit["cancelled"] = run.job("train_adapter", "villain")
    slurm(cluster, "scancel", run.hit["cancelled"]["JobId"])

    run.hit["preempted"] = job = run.job("train_adapter", "comedian")
    preempt(cluster, job)
    wait_until(lambda: run.job("train_adapter", "comedian")["Restarts"] == "1", "the preempted job is back in the queue")

    run.hold("sample_completions", "24 of 360 new replies are kept", "villain", "comedian")
    run.hit["out of time"] = run.job("sample_completions", "comedian")
    # Two hours are too long for a test; Slurm counts in minutes.
    slurm(cluster, "scontrol", "update", f"JobId={run.hit['out of time']['JobId']}", "TimeLimit=1")
    run.hit["node lost"] = run.job("sample_completions", "villain")
    lose_node(cluster, run.hit["node lost"]["NodeList"])
    wait_until(lambda: run.job("sample_completions", "villain")["Restarts"] == "1", "the lost node's job is back in the queue")
    start_node(cluster, run.hit["node lost"]["NodeList"])
    run.code, run.text = run.end()
    return run


def state(run, fault):
    return next(job for job in jobs_of(run.cluster, run.log) if job["JobId"] == run.hit[fault]["JobId"])


def limits(job):
    return job["TimeLimit"], job["MinMemoryNode"]


def test_the_profile_takes_an_experiment_to_its_report(disturbed):
    assert disturbed.code == 0, disturbed.text
    assert "</html>" in (disturbed.project.folder / f"{EXPERIMENT}/report/index.html").read_text()
    assert disturbed.project.planned() == {}
    assert f"{EXPERIMENT}/report/index.html" not in disturbed.project.run("-n", *PROFILE, env=environment(disturbed.cluster)).stdout


def test_each_job_runs_where_it_belongs(disturbed):
    """GPU jobs with a GPU each on the GPU partition, other heavy jobs on the CPU partition, the light ones here."""
    jobs = jobs_of(disturbed.cluster, disturbed.log)
    partitions = {}
    for job in jobs:
        rule = re.match(r"rule_(\w+?)(_wildcards|$)", job["Comment"])[1]
        partitions.setdefault(job["Partition"], set()).add(rule)
        assert (job.get("TresPerJob") == "gres:gpu:1") == (job["Partition"] == "gpu")
        assert job["NumNodes"] in ("1", "1-1") and job["Requeue"] == "1"
        assert job["NumCPUs"] in (("4", "4-4") if job["Partition"] == "gpu" else ("1", "1-1")), job
    assert partitions == {
        "gpu": {"sample_training_pool", "train_adapter", "sample_completions", "sample_base_completions"}
        | {"extract_centroids", "extract_training_centroids"},
        "cpu": {"build_training_set", "score_leakage", "score_base_leakage", "tabulate_pairs", "correlate_leakage"}
        | {"check_robustness", "build_report"},
    }
    assert sorted(disturbed.places) == [(node, "0") for node in NODES]


def test_a_cancelled_job_goes_on_where_it_was(disturbed, undisturbed):
    assert state(disturbed, "cancelled")["JobState"] == "CANCELLED"
    again = disturbed.job("train_adapter", "villain")
    assert (again["JobState"], *limits(again)) == ("COMPLETED", "04:00:00", "62.50G")
    assert content(disturbed.project, METRICS, "resumed_from_step")["villain"] >= 10
    assert digests(disturbed.project)[0]["villain"] == digests(undisturbed)[0]["villain"]


def test_a_preempted_job_goes_on_where_it_was(disturbed, undisturbed):
    job = state(disturbed, "preempted")
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1")
    assert content(disturbed.project, METRICS, "resumed_from_step")["comedian"] >= 10
    assert digests(disturbed.project)[0]["comedian"] == digests(undisturbed)[0]["comedian"]


def test_a_job_whose_node_is_lost_goes_on_where_it_was(disturbed, undisturbed):
    job = state(disturbed, "node lost")
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1")
    assert re.search(r"(2[4-9]|[3-9]\d|\d{3}) of 360 replies are kept from earlier", disturbed.job_log("sample_completions", "villain"))
    assert digests(disturbed.project)[1]["villain"] == digests(undisturbed)[1]["villain"]


def test_a_job_out_of_time_gets_more_and_goes_on_where_it_was(disturbed, undisturbed):
    job, again = state(disturbed, "out of time"), disturbed.job("sample_completions", "comedian")
    assert (job["JobState"], job["TimeLimit"]) == ("TIMEOUT", "00:01:00")
    assert (limits(again), limits(disturbed.hit["out of time"])) == (("04:00:00", "32000M"), ("02:00:00", "16000M"))
    assert again["JobState"] == "COMPLETED"
    assert re.search(r"(2[4-9]|[3-9]\d|\d{3}) of 360 replies are kept from earlier", disturbed.job_log("sample_completions", "comedian"))
    assert digests(disturbed.project)[1]["comedian"] == digests(undisturbed)[1]["comedian"]


def test_a_job_cancelled_for_another_is_submitted_again(undisturbed, new_project, cluster):
    """PreemptMode=CANCEL, with the wrapper of squeue: the new job resumes the work of the first."""
    project = new_project()
    shutil.rmtree(project.folder)
    shutil.copytree(undisturbed.folder, project.folder, copy_function=shutil.copy2)
    shutil.rmtree(project.folder / EXPERIMENT / "training/villain/seed42")
    shutil.rmtree(project.folder / "results/.kept")
    target = f"{EXPERIMENT}/{METRICS}".format(source="villain")
    run = Run(project, cluster, "--set-resources", "train_adapter:slurm_partition=scavenger", "--", target, wrapped=True)
    run.hold("train_adapter", "checkpoint saved after step 10", "villain")
    cancelled = run.job("train_adapter", "villain")
    preempt(cluster, cancelled)
    code, text = run.end()
    assert code == 0, text
    first, second = jobs_of(cluster, run.log)
    assert (first["Partition"], first["JobState"], first["JobId"]) == ("scavenger", "PREEMPTED", cancelled["JobId"])
    assert second["Comment"] == first["Comment"] and second["JobState"] == "COMPLETED"
    assert content(project, METRICS, "resumed_from_step")["villain"] >= 10
    assert digests(project)[0] == digests(undisturbed)[0]
