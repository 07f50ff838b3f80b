"""A device is free when the last process of its job has ended, and no sooner."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from persona_leakage.infrastructure import gpu_lease
from tests.gpu_jobs import HOLD, SHOW, is_free, starter, three_devices
from tests.waiting import wait_until


@pytest.fixture
def env(tmp_path):
    return three_devices(tmp_path)


@pytest.fixture
def start():
    yield from starter()


def test_a_killed_holder_frees_its_device(start, env):
    env["CUDA_VISIBLE_DEVICES"] = "a"
    holder = start(1, HOLD, env)
    assert holder.stdout.readline() == "holding\n"
    waiting = start(1, SHOW, env)
    assert "waiting for 1 of the GPUs a" in waiting.stderr.readline()
    assert waiting.poll() is None and not is_free(env, "a")
    open_files = [str(link.readlink()) for link in Path(f"/proc/{holder.pid}/fd").iterdir()]
    assert any(name.endswith("a.lock") for name in open_files), "the job holds the lock itself, whatever becomes of its guard"
    holder.kill()
    assert waiting.communicate(timeout=60)[0] == "a\n" and waiting.returncode == 0


# How the job starts its child, which of the job is killed.
CHILDREN = {
    "subprocess": ("import subprocess; subprocess.Popen([sys.executable, '-c', f'open({fifo!r})'])", os.kill),
    "spawned": ("from multiprocessing import get_context; get_context('spawn').Process(target=open, args=(fifo,)).start()", os.kill),
    "forked": ("from multiprocessing import get_context; get_context('fork').Process(target=open, args=(fifo,)).start()", os.kill),
    "grandchild": ("import subprocess; subprocess.Popen(['sh', '-c', f'({sys.executable} -c \"open({fifo!r})\") & exit'])", os.kill),
    "of a killed process group": (
        "import subprocess; subprocess.Popen([sys.executable, '-c', f'open({fifo!r})'], start_new_session=True)",
        os.killpg,
    ),
}


@pytest.mark.parametrize(("child", "kill"), CHILDREN.values(), ids=CHILDREN)
def test_a_child_that_outlives_a_killed_job_keeps_the_device(start, env, tmp_path, child, kill):
    """As vLLM's engine process does. The child waits for somebody to open the other end of a pipe."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    code = f"import os, sys; fifo = {str(fifo)!r}; {child}; print('started', flush=True); sys.stdin.read()"
    env["CUDA_VISIBLE_DEVICES"] = "a"
    holder = start(1, [sys.executable, "-c", code], env)
    assert holder.stdout.readline() == "started\n"
    far_end = None

    def child_waits():
        nonlocal far_end
        try:
            far_end = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody has it open to read
            return False
        return True

    try:
        kill(holder.pid, signal.SIGKILL)
        holder.wait()
        assert not is_free(env, "a")
        waiting = start(1, SHOW, env)
        assert "waiting for 1 of the GPUs a" in waiting.stderr.readline()
    finally:
        wait_until(child_waits, "the child waits")
        os.close(far_end)
    assert waiting.communicate(timeout=60)[0] == "a\n"


@pytest.mark.parametrize("attempt", range(5))
def test_processes_that_follow_each_other_keep_the_device(start, env, tmp_path, attempt):
    """Each of 20 starts the next and ends at once, so that /proc may show none of them; the last one stays."""
    step, end = tmp_path / "step.sh", tmp_path / "end"
    step.write_text(f"if [ $1 -gt 0 ]; then sh {step} $(($1 - 1)) & else sleep 0.5; touch {end}; fi\n")
    first = f"import subprocess; subprocess.Popen(['sh', {str(step)!r}, '20'])"  # without the locks' descriptors
    env["CUDA_VISIBLE_DEVICES"] = "a"
    start(1, [sys.executable, "-c", first], env).wait()
    deadline = time.monotonic() + 60
    while not end.exists():
        assert time.monotonic() < deadline
        assert not is_free(env, "a") or end.exists()
        time.sleep(0.001)
    wait_until(lambda: is_free(env, "a"), "the device is free")


def test_a_process_that_gives_back_its_memory_keeps_the_device(monkeypatch):
    """Killed together with its job, it no longer shows its environment: it has been noted before."""
    noted, hidden, real = threading.Event(), threading.Event(), gpu_lease.note

    def note(members, token):
        if not hidden.is_set():
            real(members, token)
        if len(members) == 2:  # job and child
            noted.set()

    monkeypatch.setattr(gpu_lease, "note", note)
    monkeypatch.setattr(gpu_lease, "NOTE_SECONDS", 0.05)
    marked = os.environ | {gpu_lease.LEASE: "of-this-test"}
    job, child = (subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=marked) for _ in range(2))
    guard = threading.Thread(target=gpu_lease.wait_for_all, args=("of-this-test", os.pidfd_open(job.pid)))
    guard.start()
    assert noted.wait(60)
    hidden.set()
    job.communicate()
    guard.join(1)
    assert guard.is_alive()
    child.communicate()
    guard.join(60)
    assert not guard.is_alive()
