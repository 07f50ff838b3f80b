"""Which devices there are, whose locks they have, and what waiting for one costs."""

import errno
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from persona_leakage.infrastructure import gpu_lease
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.gpu_lease import (
    Device,
    device_pool,
    installed_devices,
    lock_folder,
    parse_devices,
    start_guard,
    try_lock,
)
from tests.conftest import ROOT
from tests.pretended_gpus import LISTING, install_nvidia_smi


def test_devices_of_a_listing():
    """Parts stand for the GPU that they divide; its number is its first part's, as for CUDA."""
    assert parse_devices(LISTING) == [
        Device("GPU-aaaa-1", "0"),
        Device("MIG-cccc-3", "1"),
        Device("MIG-dddd-4", ""),
        Device("GPU-eeee-5", "2"),
    ]
    assert [device.visible_name for device in parse_devices(LISTING)] == ["0", "MIG-cccc-3", "MIG-dddd-4", "2"]


@pytest.mark.parametrize(
    ("chosen", "visible"),
    [
        (None, ["0", "MIG-cccc-3", "MIG-dddd-4", "2"]),
        ("2, 0", ["2", "0"]),
        ("GPU-eeee", ["2"]),
        ("GPU-aaaa-1,0", ["0"]),
        ("MIG-dddd-4", ["MIG-dddd-4"]),
        ("1", ["MIG-cccc-3"]),
        ("0,-1,2", ["0"]),
        ("NoDevFiles", []),
        ("other", ["other"]),
    ],
)
def test_the_pool_is_what_the_user_chose(tmp_path, monkeypatch, chosen, visible):
    install_nvidia_smi(tmp_path, monkeypatch, LISTING)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert [device.visible_name for device in device_pool()] == visible


def test_devices_that_cannot_be_listed_are_an_error(tmp_path, monkeypatch):
    """A broken driver is no reason to guess; where there is no device it is none to stop."""
    install_nvidia_smi(tmp_path, monkeypatch, "Failed to initialize NVML: Driver/library version mismatch", code=18)
    monkeypatch.setattr(gpu_lease.Path, "glob", lambda self, pattern: iter([]))
    assert installed_devices() == []
    monkeypatch.setattr(gpu_lease.Path, "glob", lambda self, pattern: iter([Path("/dev/nvidia0")]))
    with pytest.raises(InputError, match=r"nvidia-smi -L fails although there are GPUs \(/dev/nvidia0\): Failed to initialize NVML"):
        installed_devices()
    monkeypatch.setenv("PATH", "/nowhere")
    assert installed_devices() == [Device("0")]


def test_a_lock_file_cleaned_away_is_no_lock(tmp_path, monkeypatch):
    """Removed between opening and locking: the next job would make a new one, and both would have "the" lock."""
    path, real = tmp_path / "a.lock", fcntl.flock

    def clean_once(descriptor, operation):
        if os.fstat(descriptor).st_ino == old:
            path.unlink()
        real(descriptor, operation)

    path.touch()
    old = path.stat().st_ino
    (tmp_path / "keeps the inode's number").hardlink_to(path)
    monkeypatch.setattr(fcntl, "flock", clean_once)
    descriptor = try_lock(path)
    assert os.path.samestat(os.fstat(descriptor), path.stat()) and try_lock(path) is None
    os.close(descriptor)


def test_a_lock_in_use_looks_young(tmp_path):
    """To what cleans /tmp of old files: a lock that is removed while it is held protects nothing."""
    path = tmp_path / "a.lock"
    path.touch()
    os.utime(path, (0, 0))
    descriptor = try_lock(path)
    assert time.time() - path.stat().st_mtime < 60
    os.close(descriptor)


def test_a_job_without_a_guard_says_so(monkeypatch, capfd):
    """Where the kernel or the container refuses pidfds the job runs all the same."""

    def refused(pid):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refused)
    start_guard("token")
    assert "no guard here" in capfd.readouterr().err


def test_lock_folders_that_will_not_do(monkeypatch, tmp_path):
    monkeypatch.setenv(gpu_lease.LOCKS, str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"PERSONA_LEAKAGE_GPU_LOCKS: '.*none' is not a folder"):
        lock_folder()
    monkeypatch.delenv(gpu_lease.LOCKS)
    monkeypatch.setattr(os, "getuid", lambda: 987654321)
    try:
        with pytest.raises(InputError, match="belongs to another user"):
            lock_folder()
    finally:
        Path("/tmp/persona-leakage-gpus-987654321").rmdir()


def test_waiting_starts_nothing_heavy():
    """Many jobs may wait at once: a waiting one has loaded no package."""
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'workflow_scripts')!r}); import with_gpu; print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "persona_leakage.infrastructure.gpu_lease" in loaded
    assert not {name for name in ("torch", "numpy", "yaml", "transformers") if f"'{name}'" in loaded}


@pytest.mark.parametrize(("visible", "said"), [("0", "given 0, but torch"), ("", ""), ("NoDevFiles", ""), (None, "")])
def test_a_gpu_that_torch_cannot_use_is_said(visible, said):
    """Once in a job's log, however often the device is asked for; nothing where no GPU was given."""
    code = "from persona_leakage.models.loading import pick_device; print(pick_device(), pick_device())"
    env = {**os.environ, "PYTHONPATH": str(ROOT / "workflow_scripts")}
    env.pop("CUDA_VISIBLE_DEVICES", None)
    if visible is not None:
        env["CUDA_VISIBLE_DEVICES"] = visible
    code = f"import torch; torch.cuda.is_available = lambda: False; {code}"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "cpu cpu\n" and done.stderr.count("finds no GPU") == bool(said) and said in done.stderr
