"""A job that samples with idle engines too, as real processes with a stand-in for vLLM."""

import os
import threading
import time
from collections import Counter

import psutil
import pytest

from persona_leakage.inference import shared_engine, shared_sampling
from persona_leakage.inference.requests import make_requests
from persona_leakage.inference.vllm_start import AT_ONCE
from persona_leakage.infrastructure import gpu_lease
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.models.saved_adapter import Adapter
from tests.support.shared_engines import SAMPLING, is_free, requests, sample, take


@pytest.fixture
def idle(owner, settings, tmp_path, monkeypatch):
    """The process of an idle engine on another device than this job's; jobs here share work in small parts."""
    for name, value in {"LOOK": 0.05, "AT_ONCE": 80, "WORTH": 100}.items():
        monkeypatch.setattr(shared_sampling, name, value)
    for device in ("b", "a"):
        monkeypatch.setenv(gpu_lease.VISIBLE, device)
        monkeypatch.setenv(gpu_lease.PLACES, str(tmp_path / device))
        if device == "b":
            engine = take(owner, settings)
            sample(engine)
    return psutil.Process(engine.own.process.pid)


@pytest.fixture
def locks(tmp_path):
    """The locks that a job has which borrows the idle engine."""
    return [path(tmp_path / "b", 0) for path in (gpu_lease.place_path, gpu_lease.engine_path)] + [gpu_lease.lent_path(tmp_path / "b")]


def replies_of(completions):
    """{process: its number of replies}."""
    return Counter(int(completion.finish_reason) for completion in completions)


def test_an_idle_engine_samples_too(owner, settings, idle, locks, capsys):
    """With the job's adapter; each request is answered once. Afterwards the engine and its device are free."""
    asked = requests("slow", 400)
    for _ in range(2):
        engine = take(owner, settings, Adapter("pirate/seed1", "somewhere", "0" * 64))
        began = time.monotonic()
        completions = list(engine.sample(asked, SAMPLING))
        assert sorted(completion.request.index for completion in completions) == list(range(400))
        assert {completion.text for completion in completions} == {"pirate/seed1"}
        assert min(replies_of(completions).values()) > 40 and replies_of(completions).keys() == {engine.own.process.pid, idle.pid}
        assert f"engine {idle.pid} was idle and samples too\n" in capsys.readouterr().out
        assert all(map(is_free, locks)) and engine.seconds > time.monotonic() - began


def test_requests_and_replies_may_fill_the_connection_at_once(owner, settings, idle, monkeypatch):
    monkeypatch.setattr(shared_sampling, "AT_ONCE", AT_ONCE)
    asked = make_requests([("pirate", "say", range(2000))], 3 * AT_ONCE, ("t",))
    assert replies_of(take(owner, settings).sample(asked, SAMPLING)).total() == len(asked)


@pytest.mark.parametrize("case", ["a job waits for its device", "its device is taken", "few requests are left", "another kind"])
def test_an_idle_engine_is_left_alone(owner, settings, idle, locks, tmp_path, case):
    waiting, held = gpu_lease.waiting_path(tmp_path / "b"), []
    if case.startswith("a job"):
        held = [gpu_lease.try_lock(waiting, shared=True)]
    elif "taken" in case:
        held = gpu_lease.take_locks(locks[:2])
    engine = take(owner, settings, parts=["edited"] if "kind" in case else [])
    found = replies_of(engine.sample(requests("slow", 130 if "few" in case else 400), SAMPLING))
    assert found.keys() == {engine.own.process.pid}
    gpu_lease.release(held)


def test_an_engine_goes_back_as_soon_as_a_job_waits_for_its_device(owner, settings, idle, locks, tmp_path):
    """The rest of the replies is the job's own engine's."""
    engine = take(owner, settings)
    completions, done = engine.sample(requests("slow", 2000), SAMPLING), []
    while idle.pid not in replies_of(done):
        done.append(next(completions))
    assert not any(map(is_free, locks))
    waits = gpu_lease.try_lock(gpu_lease.waiting_path(tmp_path / "b"), shared=True)
    while not all(map(is_free, locks)):
        done.append(next(completions))
    assert len(done) < 1900
    assert replies_of(completions).keys() == {engine.own.process.pid}
    os.close(waits)


def test_a_job_that_comes_to_a_borrowed_engines_device_gets_it_back(owner, settings, idle, tmp_path, monkeypatch):
    """Although the device has room for another one."""
    monkeypatch.setenv(gpu_lease.SHARE, "2")
    monkeypatch.setattr(shared_engine, "jobs_per_device", lambda: 1)  # of the idle engine's key
    engine = take(owner, settings)
    completions, done = engine.sample(requests("slow", 4000), SAMPLING), []
    while idle.pid not in replies_of(done):
        done.append(next(completions))
    thread = threading.Thread(target=lambda: done.extend(completions))
    thread.start()
    monkeypatch.setenv(gpu_lease.VISIBLE, "b")
    monkeypatch.setenv(gpu_lease.PLACES, str(tmp_path / "b"))
    second = take(owner, settings)
    assert second.own.process.pid == idle.pid
    assert thread.is_alive(), "the other job still samples, with its own engine"
    thread.join()
    assert len(done) == 4000
    assert sample(second) == {(idle.pid, "base")}


def test_an_engine_that_is_killed_meanwhile_is_named(owner, settings, idle, locks):
    """After the replies that the job's own engine was asked for, which stays."""
    engine = take(owner, settings)
    completions, done = engine.sample(requests("slow", 2000), SAMPLING), []
    while idle.pid not in replies_of(done):
        done.append(next(completions))
    idle.kill()
    with pytest.raises(InputError, match=rf"vllm: its process {idle.pid} has ended, .*replies are kept"):
        done.extend(completions)
    assert len(done) < 1900 and all(map(is_free, locks))
    assert sample(take(owner, settings)) == {(engine.own.process.pid, "base")}


def test_an_adapter_that_one_engine_refuses_ends_the_job(owner, settings, idle, locks):
    """The engines stay."""
    asked = [*requests("slow", 80), *requests("refuse", 5000)]
    engine = take(owner, settings)
    with pytest.raises(InputError, match="the adapter has no effect"):
        list(engine.sample(asked, SAMPLING))
    assert idle.is_running() and all(map(is_free, locks))
    assert sample(take(owner, settings)) == {(engine.own.process.pid, "base")}
