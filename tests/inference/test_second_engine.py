"""An engine that a job prepares for itself, and a second one for later jobs, as real processes with a stand-in for vLLM."""

import json
import os
import subprocess
import sys

import psutil
import pytest

from persona_leakage.inference import shared_engine
from persona_leakage.inference.engine import prepare_engine
from persona_leakage.inference.engine_server import is_alive
from persona_leakage.inference.shared_engine import load_second, prepare
from persona_leakage.infrastructure import gpu_lease
from tests.support.shared_engines import is_free, sample, take
from tests.support.waiting import wait_until

TRAIN = """
import sys
import psutil
from persona_leakage.inference import shared_engine
shared_engine.SERVER = (sys.executable, sys.argv[2])
shared_engine.load_second(psutil.Process(int(sys.argv[1])))
"""


def test_a_prepared_process_becomes_the_engine(owner, settings):
    """Of the job that prepared it; where an engine of the device is there already, none is prepared."""
    prepare(owner)
    ((_, process),) = shared_engine.prepared
    engine = take(owner, settings)
    assert engine.own.process.pid == process.pid and not shared_engine.prepared
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
    assert sample(take(owner, settings)) == {(first.own.process.pid, "base")}
    files, process = waiting
    assert process.wait(60) == 0 and not files.with_suffix(".log").exists()


def test_a_job_takes_its_device_early_until_each_has_an_engine(owner, settings, monkeypatch):
    """Later it takes one when it has read its prompts."""
    monkeypatch.setattr(shared_engine, "owner_process", lambda: owner)
    taken = []
    monkeypatch.setattr("persona_leakage.inference.engine.take_wanted", lambda: taken.append(True))
    for device in ("0", "1"):
        prepare_engine({"name": "transformers"})
        monkeypatch.setenv(gpu_lease.VISIBLE, device)
        sample(take(owner, settings))
        monkeypatch.setenv(gpu_lease.VISIBLE, "0,1")
    assert taken == [True, True]
    prepare_engine({"name": "transformers"})
    assert taken == [True, True]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Has jobs share a device of three places, as with_gpu.py tells them, and holds the first; the lock of the second."""
    monkeypatch.setenv(gpu_lease.SHARE, "3")
    monkeypatch.setenv(gpu_lease.PLACES, str(tmp_path / "gpu"))
    monkeypatch.setenv(gpu_lease.VISIBLE, "0")
    mine = gpu_lease.take_place()
    yield tmp_path / "gpu.1.lock"
    os.close(mine)


@pytest.fixture
def first(owner, settings, place):
    """The files of the device's only engine, asleep."""
    engine = take(owner, settings)
    sample(engine)
    return engine.own.files


def engines_beside(first):
    return {json.loads(path.read_text())["pid"] for path in first.parent.glob("*.json") if path != first}


def test_a_second_engine_is_loaded_beside_the_first(owner, settings, place, first, capsys):
    """It holds a place until it is loaded and asleep; a job that finds the first at work takes it, and both stay."""
    load_second(owner)
    (pid,) = engines_beside(first)
    assert not is_free(place)
    wait_until(lambda: is_free(place), "the second engine is loaded")
    capsys.readouterr()
    jobs = [take(owner, settings) for _ in range(2)]
    pids = [job.own.process.pid for job in jobs]
    assert pid in pids and len(set(pids)) == 2
    assert capsys.readouterr().out == "".join(f"engine {number} is loaded already\n" for number in pids)
    assert [sample(job) for job in jobs] == [{(number, "base")} for number in pids]
    assert engines_beside(first) == {pid}


def test_the_second_engine_has_the_environment_of_the_first(owner, place, first, monkeypatch):
    """That of a job that trains may have no vLLM."""
    monkeypatch.setattr(shared_engine, "SERVER", (sys.executable, "-c", "raise SystemExit(1)"))
    load_second(owner)
    wait_until(lambda: is_free(place), "the second engine is loaded")
    assert [is_alive(psutil.Process(pid)) for pid in engines_beside(first)] == [True]


def test_jobs_that_train_at_once_load_one_together(owner, settings, place, first, server):
    jobs = [subprocess.Popen([sys.executable, "-c", TRAIN, str(owner.pid), server]) for _ in range(3)]
    assert [job.wait(60) for job in jobs] == [0, 0, 0]
    (pid,) = engines_beside(first)
    wait_until(lambda: is_free(place), "the second engine is loaded")
    engines = [take(owner, settings) for _ in range(2)]
    assert pid in {engine.own.process.pid for engine in engines}, "it outlives the job that started it"
    for engine in engines:
        sample(engine)


def test_a_job_that_comes_early_waits_for_the_second_engine(owner, settings, place, first):
    load_second(owner)
    engines = [take(owner, settings) for _ in range(2)]
    assert {engine.own.process.pid for engine in engines} >= engines_beside(first)
    assert len(list(first.parent.glob("*.json"))) == 2
    for engine in engines:
        sample(engine)


def test_the_second_engine_waits_for_a_place(owner, settings, place, first, monkeypatch):
    monkeypatch.setattr(shared_engine, "ASK", 0.05)
    answers = []
    monkeypatch.setattr(shared_engine, "load_second", lambda owner: answers.append(load_second(owner)) or answers[-1])
    others = [gpu_lease.take_place() for _ in range(2)]
    shared_engine.load_second_meanwhile(owner)
    wait_until(lambda: len(answers) > 2, "it has asked more than once")
    assert not any(answers) and not engines_beside(first)
    gpu_lease.release(others)
    wait_until(lambda: engines_beside(first), "the second engine loads")
    wait_until(lambda: is_free(place), "the second engine is loaded")


@pytest.mark.parametrize("case", ["two places", "no place is free", "no engine", "another device"])
def test_no_second_engine_is_loaded(owner, settings, place, request, monkeypatch, case):
    """Of two places the other one is left for work that is not sampling."""
    others = []
    if case == "no engine":
        load_second(owner)
        assert not list(shared_engine.engine_folder(owner).glob("*.json"))
        return
    first = request.getfixturevalue("first")
    if case == "two places":
        monkeypatch.setenv(gpu_lease.SHARE, "2")
    elif case == "another device":
        monkeypatch.setenv(gpu_lease.VISIBLE, "1")
    else:
        others = [gpu_lease.take_place() for _ in range(2)]
    assert load_second(owner) == (case != "no place is free")
    assert not engines_beside(first)
    gpu_lease.release(others)


def test_a_second_engine_that_fails_leaves_nothing(owner, place, first):
    """Neither files nor its place; another can be loaded."""
    facts = json.loads(first.read_text())
    first.write_text(json.dumps(facts | {"settings": facts["settings"] | {"dtype": "broken"}}))
    load_second(owner)
    assert not is_free(place)
    wait_until(lambda: not engines_beside(first) and is_free(place), "it has failed")
    assert {path.stem for path in first.parent.iterdir()} == {first.stem}
    first.write_text(json.dumps(facts))
    load_second(owner)
    assert engines_beside(first)
    wait_until(lambda: is_free(place), "the second engine is loaded")


def test_a_loaded_engine_is_taken_before_one_that_loads(owner, settings, first, monkeypatch):
    monkeypatch.setattr(os, "urandom", bytes)  # the first of all names
    slow, process = shared_engine.start_process(first.parent, owner)
    os.close(shared_engine.start(slow, process, json.loads(first.read_text())["key"], "0", settings | {"dtype": "slow"}))
    assert slow < first
    engine = take(owner, settings)
    assert engine.own.files == first
    sample(engine)


def test_a_job_does_without_a_second_engine_that_cannot_start(owner, place, first, monkeypatch, capsys):
    def fails(*arguments):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(shared_engine, "start_process", fails)
    load_second(owner)
    assert "no second engine is loaded: [Errno 11]" in capsys.readouterr().err and is_free(place)
