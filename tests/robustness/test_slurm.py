"""The Slurm profile on a real Slurm (slurm_cluster.py): an experiment to its report through faults, and Snakemake itself interrupted.

A process is held with SIGSTOP at a line of its log before a fault hits it, so that it is in the middle however fast the machine is.
What comes out is compared with the same experiment without Slurm and without faults.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from persona_leakage.infrastructure.files import sha256_of_file
from tests.conftest import ROOT, make_tiny_project
from tests.support.slurm_cluster import (
    NODES,
    PROGRAMS,
    all_pids,
    command_of,
    environment,
    environment_of,
    marked_processes,
    slurm,
    start_keeper,
    start_node,
)
from tests.support.slurm_run import PROFILE, Run, descendants, jobs_of, lose_node, parent, preempt, program_pids
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
    """A value of a source's JSON result."""
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
    """The experiment up to the replies, without Slurm."""
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
    held = run.hold("train_adapter", "checkpoint behind step 10", "villain", "comedian")
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
    """How Slurm remembers the job that a fault hit."""
    return next(job for job in jobs_of(run.cluster, run.log) if job["JobId"] == run.hit[fault]["JobId"])


def limits(job):
    """The time and the memory that a job asked for."""
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


@pytest.fixture(scope="module")
def interrupted(undisturbed, new_project, cluster):
    """One experiment through a SIGINT, a SIGTERM and a kill -9 of Snakemake, run again each time; before the SIGTERM, its job is cancelled
    for one with more right to the GPU.

    Returns {event: Run} with "again" for the last, and what was to be seen at the time in .seen.
    """
    project = new_project()
    shutil.rmtree(project.folder)
    shutil.copytree(undisturbed.folder, project.folder, copy_function=shutil.copy2)
    for made in ("training/villain/seed42", "evaluation/evaluation/villain"):
        shutil.rmtree(project.folder / EXPERIMENT / made)
    shutil.rmtree(project.folder / "results/.kept")
    metrics, target = f"{EXPERIMENT}/{METRICS}".format(source="villain"), f"{EXPERIMENT}/{REPLIES}".format(source="villain")
    runs = {}

    runs["SIGINT"] = run = Run(project, cluster, target)
    run.hold("train_adapter", "checkpoint behind step 10", "villain")
    run.process.send_signal(signal.SIGINT)
    run.code, run.text = run.end()
    wait_until(lambda: program_pids(project, "train_adapter", "villain") == [], "the cancelled job is gone")
    run.seen = (project.folder / metrics).exists()

    runs["SIGTERM"] = run = Run(project, cluster, "--set-resources", "train_adapter:slurm_partition=scavenger", "--", target, wrapped=True)
    first = run.hold("train_adapter", "resuming at step", "villain")["villain"]
    run.seen = run.job("train_adapter", "villain")
    preempt(cluster, run.seen)
    wait_until(lambda: run.job("train_adapter", "villain")["JobId"] != run.seen["JobId"], "the cancelled job is submitted again", 300)
    pid = run.hold("train_adapter", "resuming at step", "villain", besides=[first])["villain"]
    run.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "Will exit after finishing currently running jobs" in run.log.read_text(), "Snakemake has taken note of SIGTERM")
    os.kill(pid, signal.SIGCONT)
    run.code, run.text = run.end()

    runs["SIGKILL"] = run = Run(project, cluster, target)
    pid = run.hold("sample_completions", "24 of 360 new replies are kept", "villain")["villain"]
    run.process.kill()
    run.process.wait()
    run.text = project.run(*PROFILE, target, check=False, env=environment(cluster)).stdout
    run.seen = run.job("sample_completions", "villain")["JobState"]
    project.run("--unlock")

    runs["again"] = again = Run(project, cluster, target)
    second = again.hold("sample_completions", "replies are kept from earlier", "villain", besides=[pid])["villain"]
    again.seen = {pid, second} <= set(program_pids(project, "sample_completions", "villain"))
    for stopped in (pid, second):
        os.kill(stopped, signal.SIGCONT)
    again.code, again.text = again.end()
    wait_until(lambda: run.job("sample_completions", "villain")["JobState"] not in ("RUNNING", "COMPLETING"), "the end of the first job")
    return runs


def test_sigint_cancels_the_jobs_and_the_next_run_goes_on(interrupted):
    run, after = interrupted["SIGINT"], interrupted["SIGTERM"]
    assert run.code != 0 and not run.seen, run.text
    assert run.job("train_adapter", "villain")["JobState"] == "CANCELLED"
    assert content(after.project, METRICS, "resumed_from_step")["villain"] >= 10


def test_a_job_cancelled_for_another_is_submitted_again(interrupted):
    """PreemptMode=CANCEL, with the wrapper of squeue."""
    first, second = jobs_of(interrupted["SIGTERM"].cluster, interrupted["SIGTERM"].log)
    assert (first["Partition"], first["JobState"], first["JobId"]) == ("scavenger", "PREEMPTED", interrupted["SIGTERM"].seen["JobId"])
    assert second["Comment"] == first["Comment"] and second["JobState"] == "COMPLETED"


def test_sigterm_lets_the_running_job_end_and_starts_no_other(interrupted, undisturbed):
    run = interrupted["SIGTERM"]
    assert run.job("train_adapter", "villain")["JobState"] == "COMPLETED", run.text
    assert run.job("sample_completions", "villain") is None
    assert interrupted["SIGKILL"].job("train_adapter", "villain") is None  # it was accepted, not made again
    assert digests(run.project)[0] == digests(undisturbed)[0]


def test_jobs_outlive_a_killed_snakemake_and_a_second_writer_does_no_harm(interrupted, undisturbed):
    killed, again = interrupted["SIGKILL"], interrupted["again"]
    assert killed.seen == "RUNNING" and "--unlock" in killed.text
    assert again.seen and again.code == 0, again.text
    both = [job for run in (killed, again) for job in jobs_of(run.cluster, run.log)]
    assert [job["JobState"] for job in both] == ["COMPLETED"] * 2  # neither writer failed, so none had to be submitted again
    assert digests(again.project) == digests(undisturbed)
    folder = again.project.folder / EXPERIMENT / "evaluation/evaluation/villain/seed42"
    assert sha256_of_file(folder / "completions.jsonl.gz") == digests(undisturbed)[1]["villain"]
    assert [path.name for path in folder.glob(".*")] == []


def test_nothing_outlives_killed_tests():
    """A kill -9 of whoever started a cluster, with a job running on it, leaves no process."""
    with new_folder() as folder:
        code = "from tests.support.slurm_cluster import *; start_keeper(Path(sys.argv[1])); print('up', flush=True); input()"
        starter = subprocess.Popen([sys.executable, "-c", code, folder], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert starter.stdout.readline() == "up\n"
        slurm(folder, "sbatch", "-o", "/dev/null", "--wrap", "sleep 1234567")
        sleeping = wait_until(lambda: [pid for pid in all_pids() if command_of(pid) == ["sleep", "1234567"]], "the job runs")
        step = parent(parent(sleeping[0]))
        running = {pid: command_of(pid) for pid in {*descendants(starter.pid), step, *descendants(step)}}
        names = {Path(command[0]).name.split(":")[0] for command in running.values()}
        assert names >= {"munged", "slurmctld", "slurmd", "slurmstepd", "sleep"}
        starter.kill()
        starter.wait()
        wait_until(lambda: not any(command_of(pid) == command for pid, command in running.items()), "all of it is gone", 30)
        assert marked_processes(folder) == []
