"""A device for each job: never two jobs on one, never a lock left behind, nothing in the way of the command itself."""

import json
import os
import shutil
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from persona_leakage.infrastructure import gpu_lease
from tests.gpu_jobs import HOLD, SHOW, WITH_GPU, is_free, locks_in, run, starter, three_devices
from tests.pretended_gpus import LISTING, install_nvidia_smi
from tests.waiting import wait_until


@pytest.fixture
def env(tmp_path):
    return three_devices(tmp_path)


@pytest.fixture
def start():
    yield from starter()


RECORDER = """
import json, os, sys, time
from pathlib import Path
folder, name = Path(sys.argv[1]), sys.argv[2]
record = {"devices": os.environ["CUDA_VISIBLE_DEVICES"].split(","), "start": time.monotonic()}
(folder / f"{name}.started").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
deadline = record["start"] + 60
while sum(len(path.read_text().split(",")) for path in folder.glob("*.started")) < 3:  # the first jobs hold three devices at once
    assert time.monotonic() < deadline
    time.sleep(0.01)
record["end"] = time.monotonic()
(folder / f"{name}.json").write_text(json.dumps(record))
"""
SNAKEFILE = """
rule all:
    input: expand("{n}.done", n=range(6))

rule job:
    output: "{n}.done"
    resources: gpu=lambda wildcards: 2 if wildcards.n == "5" else 1
    shell:
        "python {WITH_GPU} --gpus {resources.gpu} python {RECORDER} {EVENTS} {NAME}{wildcards.n} 2>&1 | tee {wildcards.n}.log;"
        "touch {output}"
"""


def test_two_workflows_never_use_a_device_twice(tmp_path, env):
    """Twelve jobs of two Snakemakes, two of which want two devices, on three devices: all are used, no two jobs at a time on one."""
    (tmp_path / "events").mkdir()
    (tmp_path / "recorder.py").write_text(RECORDER)
    workflows = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        values = {"WITH_GPU": str(WITH_GPU), "RECORDER": str(tmp_path / "recorder.py"), "EVENTS": str(tmp_path / "events"), "NAME": name}
        (tmp_path / name / "Snakefile").write_text("".join(f"{key} = {value!r}\n" for key, value in values.items()) + SNAKEFILE)
        workflows.append(
            subprocess.Popen(
                [sys.executable, "-m", "snakemake", "--cores", "6", "--quiet", "all"],
                cwd=tmp_path / name,
                env={**env, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    for workflow in workflows:
        output = workflow.communicate(timeout=300)[0]
        assert workflow.returncode == 0, output
    records = [json.loads(path.read_text()) for path in (tmp_path / "events").glob("*.json")]
    assert len(records) == 12 and sum(len(record["devices"]) == 2 for record in records) == 2
    for device in "abc":
        uses = sorted((record["start"], record["end"]) for record in records if device in record["devices"])
        assert uses
        assert all(before[1] <= after[0] for before, after in pairwise(uses)), (device, uses)
    logs = [path.read_text() for path in tmp_path.glob("*/*.log")]
    assert all("with_gpu: GPU " in log for log in logs) and any("with_gpu: waiting for 1 of the GPUs a,b,c" in log for log in logs)


def test_who_waits_for_two_devices_holds_none(start, env):
    """Else two such jobs, each with one device, would wait for each other for ever."""
    env["CUDA_VISIBLE_DEVICES"] = "a"
    holder = start(1, HOLD, env)
    assert holder.stdout.readline() == "holding\n"
    waiting = start(2, SHOW, env | {"CUDA_VISIBLE_DEVICES": "b,a"})
    assert "waiting for 2 of the GPUs b,a" in waiting.stderr.readline()
    for _ in range(3):
        assert run(1, SHOW, env | {"CUDA_VISIBLE_DEVICES": "b"}).stdout == "b\n"
    holder.communicate("")
    assert waiting.communicate(timeout=60)[0] == "b,a\n"


def test_pairs_of_devices_are_taken_in_turn(start, env):
    """Four jobs that take two of three devices and two that take one all get through."""
    jobs = [start(count, SHOW, env) for count in (2, 2, 1, 2, 1, 2)]
    outputs = [job.communicate(timeout=120)[0].strip().split(",") for job in jobs]
    assert [len(set(devices)) for devices in outputs] == [2, 2, 1, 2, 1, 2]


def test_jobs_that_share_devices_spread_over_them(start, env):
    """Two jobs on each of two devices: the emptier device first, a pair takes both, and a fifth job waits."""
    env |= {"CUDA_VISIBLE_DEVICES": "a,b", gpu_lease.SHARE: "2"}
    shows = [sys.executable, "-c", "import os, sys; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); sys.stdin.read()"]
    assert [start(count, shows, env).stdout.readline().strip() for count in (1, 1, 2)] == ["a", "b", "a,b"]
    fifth = start(1, shows, env)
    assert "waiting for 1 of the GPUs a,b" in fifth.stderr.readline()
    counted = subprocess.run([sys.executable, WITH_GPU, "--count"], env=env, capture_output=True, text=True, check=True)
    assert counted.stdout == "4\n"


@pytest.mark.parametrize("jobs", ["0", "two", "-1", "100"])
def test_a_bad_number_of_jobs_for_a_device_is_named(env, jobs):
    done = run(1, SHOW, env | {gpu_lease.SHARE: jobs})
    assert done.returncode == 1 and f"{gpu_lease.SHARE}: is {jobs!r}; it must be a whole number from 1 to 99" in done.stderr


def test_more_than_there_are_is_refused(env):
    done = run(2, SHOW, env | {"CUDA_VISIBLE_DEVICES": "a"})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: resources gpu: 2 asked for, but there are 1 (a); allowed: 0 to as many\n"


@pytest.mark.parametrize("devices", ["", "-1", "-1,a", "NoDevFiles"])
def test_without_devices_the_cpu_is_used(env, devices):
    done = run(2, SHOW, env | {"CUDA_VISIBLE_DEVICES": devices})
    assert (done.returncode, done.stdout) == (0, f"{devices}\n") and "running on the CPU" in done.stderr
    assert locks_in(env) == []


def test_who_asks_for_none_sees_none(env):
    assert run(0, SHOW, env).stdout == "\n" and locks_in(env) == []


@pytest.fixture
def allocations():
    """Names of two that no Slurm has given; their locks are gone behind the test."""
    names = [f"test{os.getpid()}-{number}" for number in (7, 8)]
    yield names
    for name in names:
        shutil.rmtree(gpu_lease.lock_folder(name))


@pytest.mark.parametrize("devices", ["0", "GPU-aaaa", None])
def test_a_slurm_job_keeps_what_slurm_gave(env, allocations, devices):
    """Whatever other allocations hold: with cgroups, every job's device is number 0. A folder of locks that the node lacks is no matter."""
    env["SLURM_JOB_ID"] = allocations[0]
    env[gpu_lease.LOCKS] += "/not/on/this/node"
    del env["CUDA_VISIBLE_DEVICES"]
    done = run(1, SHOW, env | ({"CUDA_VISIBLE_DEVICES": devices} if devices else {}))
    assert (done.returncode, done.stdout) == (0, f"{devices}\n") and "waiting" not in done.stderr
    assert len([*gpu_lease.lock_folder(allocations[0]).glob("*.lock")]) == bool(devices)


def test_jobs_on_the_one_device_of_an_allocation_take_turns(start, env, allocations):
    """As of sbatch --gpus=1 around a whole snakemake --cores all; what it did not give is refused."""
    env |= {"SLURM_JOB_ID": allocations[0], "CUDA_VISIBLE_DEVICES": "0"}
    first = start(1, HOLD, env)
    assert first.stdout.readline() == "holding\n"
    second = start(1, HOLD, env)
    assert first.stderr.readline().startswith("with_gpu: GPU 0 ") and "waiting for 1 of the GPUs 0" in second.stderr.readline()
    other = start(1, HOLD, env | {"SLURM_JOB_ID": allocations[1]})
    assert other.stdout.readline() == "holding\n"
    first.communicate(timeout=60)
    assert second.stdout.readline() == "holding\n"
    refused = run(2, SHOW, env)
    assert refused.returncode != 0 and "2 asked for, but there are 1 (0)" in refused.stderr


@pytest.mark.parametrize("surroundings", ["Slurm job", "lease"])
def test_jobs_inside_one_allocation_share_its_devices(start, env, surroundings):
    """A whole workflow inside a Slurm job with two devices, or inside a lease of two: its jobs get one each, and wait for no other lock."""
    job = [sys.executable, str(WITH_GPU), "--gpus", "1", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES; read line"]
    both = ["bash", "-c", '"$@" <&0 & "$@"; wait', "bash", *job]
    if surroundings == "lease":
        outer = start(2, both, env)
    else:
        outer = start(0, ["env", "CUDA_VISIBLE_DEVICES=a,b", *both], env | {"SLURM_JOB_ID": "7"})
    assert {outer.stdout.readline(), outer.stdout.readline()} == {"a\n", "b\n"}
    output, log = outer.communicate("\n\n", timeout=60)
    assert outer.returncode == 0 and output == "" and "waiting" not in log


def test_exit_codes_come_through_a_pipe(env, tmp_path):
    """As in a rule's shell command, with the job's output in the log."""
    for code, expected in (("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137)):
        wait_until(lambda: is_free(env, "a"), "the device of the job before is free")
        pipe = f"{sys.executable} {WITH_GPU} --gpus 1 sh -c 'echo in the job; {code}' 2>&1 | tee {tmp_path}/log"
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", pipe], env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == expected
        assert (tmp_path / "log").read_text() == "with_gpu: GPU a after 0 s\nin the job\n"
    assert run(1, ["no-such-program"], env).stderr.endswith("error: no-such-program: No such file or directory\n")


def test_signals_reach_the_command_itself(start, env):
    code = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print('ready', flush=True); signal.pause()"
    job = start(1, [sys.executable, "-c", code], env)
    assert job.stdout.readline() == "ready\n"
    job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=60) == 7


def test_the_command_finds_signals_as_usual(env):
    """Python ignores SIGPIPE, and what is ignored is inherited: ``yes`` would complain about its reader."""
    assert run(1, ["sh", "-c", "yes | head -n 1"], env).stderr == "with_gpu: GPU a after 0 s\n"


def test_interrupted_while_waiting(start, env):
    """Ctrl-C ends it without a traceback."""
    env["CUDA_VISIBLE_DEVICES"] = "a"
    holder = start(1, HOLD, env)
    assert holder.stdout.readline() == "holding\n"
    waiting = start(1, SHOW, env)
    assert "waiting" in waiting.stderr.readline()
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait(timeout=60) == -signal.SIGINT and waiting.stderr.read() == ""


def test_a_device_has_one_lock_under_all_its_names(tmp_path, monkeypatch, env):
    install_nvidia_smi(tmp_path, monkeypatch, LISTING)
    env["PATH"] = os.environ["PATH"]
    for name in ("0", "GPU-aaaa", "GPU-aaaa-1"):
        assert run(1, SHOW, env | {"CUDA_VISIBLE_DEVICES": name}).stdout == "0\n"
    del env["CUDA_VISIBLE_DEVICES"]
    wait_until(lambda: is_free(env, "GPU-aaaa-1"), "the device is free")  # the guard of the last command ends a moment after it
    assert run(1, SHOW, env).stdout == "0\n"
    assert locks_in(env) == ["GPU-aaaa-1.lock"]
    assert subprocess.run([sys.executable, WITH_GPU, "--count"], env=env, capture_output=True, text=True).stdout == "4\n"
