"""A device for each job, on pretended devices: never two jobs on one, never a lock left behind, nothing that disturbs the command."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from persona_leakage.infrastructure import gpu_lease
from persona_leakage.infrastructure.cli import InputError
from tests.conftest import ROOT

WITH_GPU = ROOT / "workflow_scripts/with_gpu.py"
SHOW = [sys.executable, "-c", "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'))"]
HOLD = [sys.executable, "-c", "import os, sys; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); sys.stdin.read()"]
TAKE = f"""
import sys
sys.path.insert(0, {str(ROOT / "workflow_scripts")!r})
from persona_leakage.infrastructure.gpu_lease import take_wanted
take_wanted()
"""
SHOW_SAMPLING, HOLD_SAMPLING = ([sys.executable, "-c", TAKE + program[-1]] for program in (SHOW, HOLD))
SET_WITHIN_A_JOB = ("SLURM_JOB_ID", gpu_lease.LEASE, gpu_lease.PLACES, gpu_lease.SHARE, "CUDA_DEVICE_ORDER")
LISTING = (
    "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-aaaa-1)\n"
    "GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-bbbb-2)\n"
    "  MIG 1g.10gb Device 0: (UUID: MIG-cccc-3)\n"
    "GPU 2: NVIDIA RTX A6000 (UUID: GPU-eeee-5)\n"
)


@pytest.fixture
def env(tmp_path):
    """An environment with three pretended devices and a lock folder of its own, and no Slurm around."""
    (tmp_path / "locks").mkdir()
    clean = {name: value for name, value in os.environ.items() if name not in SET_WITHIN_A_JOB}
    return clean | {"CUDA_VISIBLE_DEVICES": "a,b,c", gpu_lease.LOCKS: str(tmp_path / "locks")}


@pytest.fixture
def start():
    """start(count, command, env, *options) starts a command with devices, with pipes; what still runs after the test is killed."""
    running = []

    def start(count, command, env, *options):
        arguments = [sys.executable, WITH_GPU, "--gpus", str(count), *options, *command]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        # A shell's background job ignores SIGINT, and what is ignored is inherited.
        interruptible = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
        running.append(subprocess.Popen(arguments, env=env, text=True, start_new_session=True, **pipes, **interruptible))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def run(count, command, env):
    arguments = [sys.executable, WITH_GPU, "--gpus", str(count), *command]
    return subprocess.run(arguments, env=env, capture_output=True, text=True, timeout=120)


def install_nvidia_smi(folder, monkeypatch, output, code=0):
    """Put an nvidia-smi with this output and exit code first in PATH."""
    program = folder / "bin/nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat <<'end'\n{output}\nend\nexit {code}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


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


def test_no_device_is_used_twice(tmp_path, env, start):
    """Twelve jobs, four of which want two devices, on three devices: all devices are used, each by one job at a time."""
    (tmp_path / "events").mkdir()
    (tmp_path / "recorder.py").write_text(RECORDER)
    command = [sys.executable, str(tmp_path / "recorder.py"), str(tmp_path / "events")]
    jobs = [start(1 + (number % 3 == 2), [*command, f"job{number}"], env) for number in range(12)]
    logs = [job.communicate(timeout=120)[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0] * 12, logs
    records = [json.loads(path.read_text()) for path in (tmp_path / "events").glob("*.json")]
    assert sorted(len(set(record["devices"])) for record in records) == [1] * 8 + [2] * 4
    for device in "abc":
        uses = sorted((record["start"], record["end"]) for record in records if device in record["devices"])
        assert uses and all(before[1] <= after[0] for before, after in pairwise(uses)), (device, uses)
    assert all("with_gpu: GPU " in log for log in logs)


def vllm_in(folder):
    """The folder in ``folder`` of a package that has vLLM's name."""
    (folder / "packages/vllm").mkdir(parents=True)
    (folder / "packages/vllm/__init__.py").touch()
    return str(folder / "packages")


def test_a_sampling_job_goes_where_the_fewest_of_its_kind_are(start, env, tmp_path):
    """Not where the fewest jobs are: a job of another kind ends before the next adapters are sampled, and an engine stays."""
    shared = env | {"CUDA_VISIBLE_DEVICES": "a,b", gpu_lease.SHARE: "3", "PYTHONPATH": vllm_in(tmp_path)}
    jobs = [(HOLD,), (HOLD_SAMPLING, "--engine", "vllm")] * 2
    assert [start(1, command, shared, *options).stdout.readline().strip() for command, *options in jobs] == ["a", "b", "a", "a"]


def test_a_sampling_job_holds_no_device_before_it_needs_one(start, env, tmp_path):
    """It reads its prompts meanwhile; it takes its devices once."""
    shared = env | {"CUDA_VISIBLE_DEVICES": "a", "PYTHONPATH": vllm_in(tmp_path)}
    early = f"print('reads', flush=True); sys.stdin.readline(); {HOLD_SAMPLING[-1]}; take_wanted()"
    job = start(1, [sys.executable, "-c", f"import sys; {early}"], shared, "--engine", "vllm")
    assert job.stdout.readline() == "reads\n"
    assert run(1, SHOW, shared).stdout == "a\n"
    job.stdin.write("\n")
    job.stdin.flush()
    assert job.stdout.readline() == "a\n"
    assert "waiting for 1 of the GPUs a" in start(1, SHOW, shared).stderr.readline()


def test_a_sampling_job_goes_where_one_has_ended(start, env, tmp_path):
    """Whichever of a device's jobs that is."""
    shared = env | {"CUDA_VISIBLE_DEVICES": "a,b", gpu_lease.SHARE: "3", "PYTHONPATH": vllm_in(tmp_path)}
    jobs = [start(1, HOLD_SAMPLING, shared, "--engine", "vllm") for _ in range(4)]
    devices = [job.stdout.readline().strip() for job in jobs]
    for ended in (devices.index("a"), *(index for index, device in enumerate(devices) if device == "b")):
        jobs[ended].communicate("")
    assert [start(1, HOLD_SAMPLING, shared, "--engine", "vllm").stdout.readline().strip() for _ in range(3)] == ["b", "a", "b"]


def test_a_third_sampling_job_waits_for_the_first_device_that_it_may_have(start, env, tmp_path):
    """Two devices with three places each, two sampling jobs on both: the fifth holds no place, and goes where one of them ends first."""
    shared = env | {"CUDA_VISIBLE_DEVICES": "a,b", gpu_lease.SHARE: "3", "PYTHONPATH": vllm_in(tmp_path)}
    sampling = [start(1, HOLD_SAMPLING, shared, "--engine", "vllm") for _ in range(4)]
    devices = [job.stdout.readline() for job in sampling]
    assert sorted(devices) == ["a\n", "a\n", "b\n", "b\n"]
    fifth = start(1, SHOW_SAMPLING, shared, "--engine", "vllm")
    assert "waiting for 1 of the GPUs a,b (at most 2 engines sample on each)" in fifth.stderr.readline()
    others = [start(1, HOLD, shared) for _ in range(2)]
    assert sorted(job.stdout.readline() for job in others) == ["a\n", "b\n"]
    sampling[0].communicate("")
    assert fifth.communicate(timeout=60)[0] == devices[0]


def test_the_time_of_a_result_leaves_out_waiting_for_a_device(start, env, tmp_path):
    shared = env | {"CUDA_VISIBLE_DEVICES": "a", "PYTHONPATH": vllm_in(tmp_path)}
    holder = start(1, HOLD, shared)
    assert holder.stdout.readline() == "a\n"
    program = f"""
import sys, time
began = time.monotonic()
sys.path.insert(0, {str(ROOT / "workflow_scripts")!r})
from persona_leakage.infrastructure.gpu_lease import take_wanted
from persona_leakage.infrastructure.provenance import describe_run
before = time.monotonic()
take_wanted()
waited = time.monotonic() - before
print(waited, time.monotonic() - began - describe_run("sample")["wall_seconds"])
"""
    waiting = start(1, [sys.executable, "-c", program], shared, "--engine", "vllm")
    assert "waiting for 1 of the GPUs a" in waiting.stderr.readline()
    time.sleep(1)
    holder.communicate("")
    waited, left_out = map(float, waiting.communicate(timeout=60)[0].split())
    assert left_out > 0.9 * waited > 0.5


def test_a_job_that_waits_for_two_devices_holds_none(start, env):
    """Else two such jobs, each with one device, would wait for each other forever."""
    holder = start(1, HOLD, env | {"CUDA_VISIBLE_DEVICES": "a"})
    assert holder.stdout.readline() == "a\n"
    waiting = start(2, SHOW, env | {"CUDA_VISIBLE_DEVICES": "b,a"})
    assert "waiting for 2 of the GPUs b,a" in waiting.stderr.readline()
    for _ in range(3):
        assert run(1, SHOW, env | {"CUDA_VISIBLE_DEVICES": "b"}).stdout == "b\n"
    holder.communicate("")
    assert waiting.communicate(timeout=60)[0] == "b,a\n"


def test_jobs_that_share_devices_spread_over_them(start, env):
    """Two jobs on each of two devices: the emptier device first, a pair takes both, and a fifth job waits."""
    env |= {"CUDA_VISIBLE_DEVICES": "a,b", gpu_lease.SHARE: "2"}
    assert [start(count, HOLD, env).stdout.readline().strip() for count in (1, 1, 2)] == ["a", "b", "a,b"]
    assert "waiting for 1 of the GPUs a,b" in start(1, HOLD, env).stderr.readline()
    assert subprocess.run([sys.executable, WITH_GPU, "--count"], env=env, capture_output=True, text=True).stdout == "4\n"


def test_a_killed_job_frees_its_device(start, env):
    env["CUDA_VISIBLE_DEVICES"] = "a"
    holder = start(1, HOLD, env)
    assert holder.stdout.readline() == "a\n"
    waiting = start(1, SHOW, env)
    assert "waiting for 1 of the GPUs a" in waiting.stderr.readline()
    holder.kill()
    assert waiting.communicate(timeout=60)[0] == "a\n" and waiting.returncode == 0


@pytest.mark.parametrize(
    ("count", "changes", "message"),
    [
        (2, {"CUDA_VISIBLE_DEVICES": "a"}, "resources gpu: requested 2, but only 1 visible (a)"),
        (1, {gpu_lease.SHARE: "0"}, f"{gpu_lease.SHARE}: is '0'; it must be a whole number from 1 to 99"),
        (1, {gpu_lease.LOCKS: "/no/such/folder"}, f"{gpu_lease.LOCKS}: '/no/such/folder' is not a folder; make one"),
    ],
)
def test_what_cannot_be_leased_is_named(env, count, changes, message):
    done = run(count, SHOW, env | changes)
    assert (done.returncode, done.stdout) == (1, "") and done.stderr.startswith(f"error: {message}")


@pytest.mark.parametrize(("count", "devices", "visible"), [(2, "", ""), (2, "-1,a", "-1,a"), (1, "NoDevFiles", "NoDevFiles"), (0, "a", "")])
def test_without_devices_the_cpu_is_used(env, count, devices, visible):
    done = run(count, SHOW, env | {"CUDA_VISIBLE_DEVICES": devices})
    assert (done.returncode, done.stdout) == (0, f"{visible}\n") and ("running on the CPU" in done.stderr) == (count > 0)
    assert list(Path(env[gpu_lease.LOCKS]).iterdir()) == []


@pytest.mark.parametrize(("places", "devices", "expected"), [("2", 1, "held"), ("1", 1, "none"), ("2", 2, "none")])
def test_a_job_can_hold_another_place_on_its_device(start, env, places, devices, expected):
    """Of a device that it shares; as long as it keeps the lock, no other job has the place."""
    program = f"""
import sys
sys.path.insert(0, {str(ROOT / "workflow_scripts")!r})
from persona_leakage.infrastructure.gpu_lease import take_place
place = take_place()
print("none" if place is None else "held", flush=True)
sys.stdin.read()
"""
    env |= {"CUDA_VISIBLE_DEVICES": "a,b", gpu_lease.SHARE: places}
    job = start(devices, [sys.executable, "-c", program], env)
    assert job.stdout.readline().strip() == expected
    if expected == "held":
        waiting = start(1, SHOW, env | {"CUDA_VISIBLE_DEVICES": "a"})
        assert "waiting for 1 of the GPUs a" in waiting.stderr.readline()
        job.communicate("")
        assert waiting.communicate(timeout=60)[0] == "a\n"


@pytest.fixture
def allocations():
    """Names of two that Slurm has not given; their locks are removed after the test."""
    names = [f"test{os.getpid()}-{number}" for number in (7, 8)]
    yield names
    for name in names:
        shutil.rmtree(gpu_lease.lock_folder(name))


def test_jobs_share_only_the_devices_of_their_own_allocation(start, env, allocations):
    """As in sbatch --gpus=1 with a whole workflow inside. With cgroups, every allocation's device is number 0. A node may lack LOCKS."""
    env |= {"SLURM_JOB_ID": allocations[0], "CUDA_VISIBLE_DEVICES": "0", gpu_lease.LOCKS: "/no/such/folder"}
    first = start(1, HOLD, env)
    assert first.stdout.readline() == "0\n"
    second = start(1, HOLD, env)
    assert "waiting for 1 of the GPUs 0" in second.stderr.readline()
    assert start(1, HOLD, env | {"SLURM_JOB_ID": allocations[1]}).stdout.readline() == "0\n"
    first.communicate(timeout=60)
    assert second.stdout.readline() == "0\n"
    assert "requested 2, but only 1 visible (0)" in run(2, SHOW, env).stderr
    del env["CUDA_VISIBLE_DEVICES"]
    assert run(1, SHOW, env).stdout == "None\n"  # all that Slurm gave


def test_a_workflow_inside_a_lease_shares_its_devices(start, env):
    job = [sys.executable, str(WITH_GPU), "--gpus", "1", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES; read line"]
    outer = start(2, ["bash", "-c", '"$@" <&0 & "$@"; wait', "bash", *job], env)
    assert {outer.stdout.readline(), outer.stdout.readline()} == {"a\n", "b\n"}
    output, log = outer.communicate("\n\n", timeout=60)
    assert outer.returncode == 0 and output == "" and "waiting" not in log


def test_signals_reach_the_command_and_a_waiting_job(start, env, tmp_path):
    """Ctrl-C ends a waiting job without a traceback. Python ignores SIGPIPE; the command must not."""
    packages = vllm_in(tmp_path)
    env["CUDA_VISIBLE_DEVICES"] = "a"
    code = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print('ready', flush=True); signal.pause()"
    job = start(1, [sys.executable, "-c", code], env)
    assert job.stdout.readline() == "ready\n"
    for command, options in ((SHOW, ()), (SHOW_SAMPLING, ("--engine", "vllm"))):
        waiting = start(1, command, env | {"PYTHONPATH": packages}, *options)
        assert "waiting" in waiting.stderr.readline()
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(timeout=60) == -signal.SIGINT and waiting.stderr.read() == ""
    job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=60) == 7
    assert run(1, ["sh", "-c", "yes | head -n 1"], env).stderr == "with_gpu: GPU a after 0 s\n"
    assert run(1, ["no-such-program"], env).stderr.endswith("error: no-such-program: No such file or directory\n")


@pytest.mark.parametrize(
    ("chosen", "visible"),
    [
        (None, {"GPU-aaaa-1": "0", "GPU-bbbb-2": "1", "GPU-eeee-5": "2"}),
        ("2, 0", {"GPU-eeee-5": "2", "GPU-aaaa-1": "0"}),
        ("GPU-eeee,2", {"GPU-eeee-5": "2"}),
        ("MIG-cccc-3", {"MIG-cccc-3": "MIG-cccc-3"}),
        ("0,-1,2", {"GPU-aaaa-1": "0"}),
        ("NoDevFiles", {}),
    ],
)
def test_the_pool_is_what_the_user_chose(tmp_path, monkeypatch, chosen, visible):
    install_nvidia_smi(tmp_path, monkeypatch, LISTING)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert list(gpu_lease.device_pool().items()) == list(visible.items())


def test_devices_that_cannot_be_listed_are_an_error(tmp_path, monkeypatch):
    install_nvidia_smi(tmp_path, monkeypatch, "Failed to initialize NVML: Driver/library version mismatch", code=18)
    monkeypatch.setattr(gpu_lease.Path, "glob", lambda self, pattern: iter([]))
    assert gpu_lease.installed_devices() == {}
    monkeypatch.setattr(gpu_lease.Path, "glob", lambda self, pattern: iter([Path("/dev/nvidia0")]))
    with pytest.raises(InputError, match=r"nvidia-smi -L failed although /dev/nvidia0 exists; check the GPU driver: Failed to init"):
        gpu_lease.installed_devices()
    monkeypatch.setenv("PATH", "/nowhere")
    assert gpu_lease.installed_devices() == {"0": "0"}
