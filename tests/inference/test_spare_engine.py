"""An engine that a job prepares for itself, and a second one for later jobs, as real processes with a stand-in for vLLM."""

import json
import os
import subprocess
import sys

import psutil
import pytest

from persona_leakage.inference import shared_engine
from persona_leakage.inference.engine_server import is_alive
from persona_leakage.inference.shared_engine import prepare
from persona_leakage.infrastructure import gpu_lease
from tests.support.shared_engines import JOB, sample, take
from tests.support.waiting import wait_until


def test_a_prepared_process_becomes_the_engine(owner, settings):
    """Of the job that prepared it; where an engine of the device is there already, none is prepared."""
    prepare(owner)
    ((_, process),) = shared_engine.prepared
    engine = take(owner, settings)
    assert engine.process.pid == process.pid and not shared_engine.prepared
    prepare(owner)
    assert not shared_engine.prepared
    assert sample(engine) == {(process.pid, "base")}


def test_a_prepared_process_that_is_not_needed_ends(owner, settings):
    """Where another job has made an idle engine meanwhile; no trace of it stays."""
    prepare(owner)
    waiting = shared_engine.prepared.pop()
    first = take(owner, settings)
    sample(first)
    shared_engine.prepared.append(waiting)
    assert sample(take(owner, settings)) == {(first.process.pid, "base")}
    files, process = waiting
    assert process.wait(60) == 0 and not files.with_suffix(".log").exists()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Has jobs share a device of three places, as with_gpu.py tells them; the lock of the second place."""
    monkeypatch.setenv(gpu_lease.SHARE, "3")
    monkeypatch.setenv(gpu_lease.PLACES, str(tmp_path / "gpu"))
    mine = gpu_lease.take_place()
    yield tmp_path / "gpu.1.lock"
    os.close(mine)


def is_free(place):
    """Whether nobody holds the lock of a place."""
    if (lock := gpu_lease.try_lock(place)) is not None:
        os.close(lock)
    return lock is not None


def test_a_spare_engine_is_loaded_beside_the_first(owner, settings, place, capsys):
    """It holds a place until it is loaded and asleep; a job that finds the first at work takes it, and both stay."""
    first = take(owner, settings)
    assert not is_free(place)
    wait_until(lambda: is_free(place), "the spare engine is loaded")
    assert sorted(path.read_text() for path in first.files.parent.glob("*.log")) == ["", "sleeps\n"]
    second = take(owner, settings)
    assert second.process.pid != first.process.pid
    assert capsys.readouterr().out == f"engine {first.process.pid} is loaded\nengine {second.process.pid} is loaded already\n"
    assert sample(first) == {(first.process.pid, "base")} and sample(second) == {(second.process.pid, "base")}
    assert is_alive(second.process) and len(list(first.files.parent.glob("*.json"))) == 2


def test_a_job_that_comes_early_waits_for_the_spare_engine(owner, settings, place):
    first, second = take(owner, settings), take(owner, settings)
    assert len(list(first.files.parent.glob("*.json"))) == 2
    assert sample(second) == {(second.process.pid, "base")} and sample(first) == {(first.process.pid, "base")}


def test_a_spare_engine_outlives_the_job_that_started_it(owner, settings, place, server):
    job = subprocess.Popen([sys.executable, "-c", JOB, str(owner.pid), json.dumps(settings), server], stdout=subprocess.PIPE, text=True)
    _, _, pid = (job.stdout.readline() for _ in range(3))
    wait_until(lambda: is_free(place), "the spare engine is loaded")
    job.kill()
    job.wait()
    wait_until(lambda: not psutil.pid_exists(int(pid)), "the killed job's engine has ended")
    spare = take(owner, settings)
    assert spare.process.pid != int(pid) and sample(spare) == {(spare.process.pid, "base")}


@pytest.mark.parametrize("places", ["2", "3"])
def test_a_spare_engine_leaves_a_place_for_other_work(owner, settings, place, monkeypatch, places):
    """Of two places the other one is left for work that is not sampling."""
    monkeypatch.setenv(gpu_lease.SHARE, places)
    others = [gpu_lease.take_place() for _ in range(2)] if places == "3" else []
    engine = take(owner, settings)
    sample(engine)
    assert list(engine.files.parent.glob("*.json")) == [engine.files]
    for other in others:
        os.close(other)


def test_a_spare_engine_that_fails_leaves_nothing(owner, settings, place):
    """Neither files nor its place; another can be loaded."""
    first = take(owner, settings)
    wait_until(lambda: is_free(place), "the spare engine is loaded")
    folder, key = first.files.parent, json.loads(first.files.read_text())["key"]
    lock = gpu_lease.take_place()
    files, process = shared_engine.start_process(folder, owner, lock)
    os.close(shared_engine.start(files, process, key, "", settings | {"dtype": "broken"}))
    os.close(lock)
    assert process.wait(60) != 0
    assert not list(folder.glob(f"{files.stem}.*")) and is_free(place)
    sample(first)


def test_a_loaded_engine_is_taken_before_one_that_loads(owner, settings, place, monkeypatch):
    monkeypatch.setenv(gpu_lease.SHARE, "1")
    first = take(owner, settings)
    sample(first)
    folder, key = first.files.parent, json.loads(first.files.read_text())["key"]
    monkeypatch.setattr(os, "urandom", bytes)  # the first of all names
    slow, process = shared_engine.start_process(folder, owner)
    os.close(shared_engine.start(slow, process, key, "", settings | {"dtype": "slow"}))
    assert slow < first.files
    assert sample(take(owner, settings)) == {(first.process.pid, "base")}


def test_a_job_does_without_a_spare_engine_that_cannot_start(owner, settings, place, monkeypatch, capsys):
    start = shared_engine.start_process

    def fails(folder, owner, place=None):
        if place is not None:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return start(folder, owner)

    monkeypatch.setattr(shared_engine, "start_process", fails)
    engine = take(owner, settings)
    assert "no second engine is loaded: [Errno 11]" in capsys.readouterr().err and is_free(place)
    assert sample(engine) == {(engine.process.pid, "base")}
