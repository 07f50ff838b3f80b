"""Commands with devices of their own, as the rules start them, on pretended devices."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from persona_leakage.infrastructure import gpu_lease
from persona_leakage.infrastructure.gpu_lease import try_lock
from tests.conftest import ROOT

WITH_GPU = ROOT / "workflow_scripts/with_gpu.py"
SHOW = [sys.executable, "-c", "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'))"]
HOLD = [sys.executable, "-c", "import sys; print('holding', flush=True); sys.stdin.read()"]


def three_devices(tmp_path):
    """An environment with three pretended devices and a lock folder of its own, and no Slurm around."""
    (tmp_path / "locks").mkdir()
    clean = {name: value for name, value in os.environ.items() if name not in ("SLURM_JOB_ID", gpu_lease.LEASE, "CUDA_DEVICE_ORDER")}
    return clean | {"CUDA_VISIBLE_DEVICES": "a,b,c", gpu_lease.LOCKS: str(tmp_path / "locks")}


def starter():
    """For a fixture: start(count, command, env) starts a command with devices, with pipes; what still runs behind the test is killed."""
    running = []

    def start(count, command, env):
        arguments = [sys.executable, WITH_GPU, "--gpus", str(count), *command]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        heeding = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # a shell's background job ignores it
        running.append(subprocess.Popen(arguments, env=env, text=True, start_new_session=True, **pipes, **heeding))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def run(count, command, env, **options):
    """Run a command with devices to its end."""
    arguments = [sys.executable, WITH_GPU, "--gpus", str(count), *command]
    return subprocess.run(arguments, env=env, capture_output=True, text=True, timeout=120, **options)


def locks_in(env):
    return sorted(path.name for path in Path(env[gpu_lease.LOCKS]).rglob("*.lock"))


def is_free(env, device):
    """Whether nobody holds a device's lock right now."""
    descriptor = try_lock(Path(env[gpu_lease.LOCKS]) / f"{device}.lock")
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is not None
