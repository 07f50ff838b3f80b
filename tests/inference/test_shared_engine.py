"""An engine that jobs take in turn, as real processes with a stand-in for vLLM: taken over, at once, killed on either side."""

import json
import os
import subprocess
import sys

import psutil
import pytest

from persona_leakage.inference.engine_server import is_alive
from persona_leakage.inference.shared_engine import engine_folder, owner_process
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.models.saved_adapter import Adapter
from tests.support.shared_engines import JOB, SAMPLING, end, process_of, requests, sample, stand_in_for_snakemake, take
from tests.support.waiting import wait_until


def test_jobs_in_turn_have_one_engine(owner, settings, capsys):
    """Of the base model and of adapters; each reply comes back once, with what the engine says."""
    first = take(owner, settings)
    completions = list(first.sample(requests(), SAMPLING))
    assert [completion.request for completion in completions] == requests()
    assert capsys.readouterr().out == f"engine {first.own.process.pid} is loaded\nit samples\n"
    second = sample(take(owner, settings, Adapter("pirate/seed1", "somewhere", "0" * 64)))
    assert second == {(first.own.process.pid, "pirate/seed1")} == {(int(completions[0].finish_reason), "pirate/seed1")}


def test_two_jobs_at_once_have_one_each(owner, settings):
    engines = [take(owner, settings) for _ in range(2)]
    first, second = (engine.own.process.pid for engine in engines)
    assert first != second
    assert sample(engines[1]) == {(second, "base")} and sample(engines[0]) == {(first, "base")}
    assert sample(take(owner, settings)) <= {(first, "base"), (second, "base")}


@pytest.mark.parametrize("other", [{"rank": 16}, {"longest": 10}, {"folder": "a copy"}])
def test_another_setting_is_another_engine(owner, settings, tmp_path, other):
    """The idle one ends: it would keep its memory."""
    first = take(owner, settings)
    sample(first)
    if "folder" in other:
        (tmp_path / "copy").symlink_to(settings["folder"])
        other = {"folder": str(tmp_path / "copy")}
    second = take(owner, settings | other)
    assert second.own.process.pid != first.own.process.pid
    wait_until(lambda: not is_alive(first.own.process), "the first has ended")
    sample(second)


def test_other_code_and_other_weights_are_another_engine(owner, settings):
    first = take(owner, settings, parts=["digest", "code"])
    sample(first)
    second = take(owner, settings, parts=["digest", "edited"])
    assert second.own.process.pid != first.own.process.pid
    sample(second)


def test_another_device_is_another_engine(owner, settings, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    first = take(owner, settings)
    sample(first)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    second = take(owner, settings)
    assert second.own.process.pid != first.own.process.pid and is_alive(first.own.process), "the other device's engine stays"
    sample(second)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert sample(take(owner, settings)) == {(first.own.process.pid, "base")}


def test_an_engine_ends_with_a_job_that_is_killed(owner, settings, server):
    """Its next replies would be the dead job's; a job that comes at once does not get it."""
    job = subprocess.Popen([sys.executable, "-c", JOB, str(owner.pid), json.dumps(settings), server], stdout=subprocess.PIPE, text=True)
    loaded, said, pid = (job.stdout.readline() for _ in range(3))
    assert loaded == f"engine {int(pid)} is loaded\n" and said == "it samples\n"
    engine = psutil.Process(int(pid))
    job.kill()
    job.wait()
    after = take(owner, settings)
    assert after.own.process.pid != engine.pid
    assert sample(after) == {(after.own.process.pid, "base")}
    wait_until(lambda: not is_alive(engine), "the engine has ended")


def test_an_idle_engine_that_is_killed_is_replaced(owner, settings):
    first = take(owner, settings)
    sample(first)
    process_of(first).kill()
    second = take(owner, settings)
    assert second.own.process.pid != first.own.process.pid
    sample(second)


def test_an_engine_that_is_killed_at_work_is_named(owner, settings):
    engine = take(owner, settings)
    completions = engine.sample(requests("wait", 200), SAMPLING)
    next(completions)
    process_of(engine).kill()
    with pytest.raises(InputError, match=rf"vllm: its process {engine.own.process.pid} has ended, without any output, .*replies are kept"):
        list(completions)
    sample(take(owner, settings))


def test_a_refused_adapter_is_named_and_the_engine_stays(owner, settings):
    refusing = take(owner, settings)
    with pytest.raises(InputError, match=r"^the adapter has no effect$"):
        sample(refusing, question="refuse")
    assert sample(take(owner, settings)) == {(refusing.own.process.pid, "base")}


def test_the_adapter_is_that_of_the_jobs_own_folder(owner, settings, tmp_path, monkeypatch):
    """Of two runs below one Snakemake, in folders of their own, the second takes over the first one's engine."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        found = sample(take(owner, settings, Adapter("pirate/seed1", "adapter", "0" * 64)), question="where")
        assert {text for _, text in found} == {str(tmp_path / name / "adapter")}


def test_a_job_that_is_killed_while_its_engine_loads_takes_it_along(owner, settings, server):
    """Its GPU is another job's then."""
    arguments = [str(owner.pid), json.dumps(settings | {"dtype": "slow"}), server]
    job = subprocess.Popen([sys.executable, "-c", JOB, *arguments], stdout=subprocess.DEVNULL)
    engine = wait_until(lambda: next(iter(psutil.Process(job.pid).children()), None), "the engine begins")
    job.kill()
    job.wait()
    wait_until(lambda: not is_alive(engine), "the engine has ended", 20)


def test_a_folder_of_engines_whose_snakemake_has_ended_goes(owner):
    ended = psutil.Popen([sys.executable, "-c", ""])
    left = engine_folder(owner).parent / str(ended.pid)
    left.mkdir(mode=0o700)
    ended.wait()
    engine_folder(owner)
    assert not left.exists()


def test_another_process_with_an_engines_number_is_left_alone(owner, settings):
    """The number of an engine that was killed may be given again."""
    first = take(owner, settings)
    sample(first)
    stranger = psutil.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    facts = json.loads(first.own.files.read_text())
    first.own.files.write_text(json.dumps(facts | {"pid": stranger.pid, "key": "another"}))
    second = take(owner, settings)
    assert is_alive(stranger) and second.own.process.pid not in (first.own.process.pid, stranger.pid)
    sample(second)
    end(stranger)
    process_of(first).kill()


def test_why_an_engine_failed_at_work_is_said(owner, settings, capfd):
    with pytest.raises(InputError, match=r"has ended, with the output above"):
        sample(take(owner, settings), question="fail")
    assert "RuntimeError: CUDA error" in capfd.readouterr().err


def test_why_an_engine_does_not_load(owner, settings, capfd):
    """An error that the user can fix is one line; any other comes with its traceback."""
    with pytest.raises(InputError, match=r"^engine.precision: is refused$"):
        take(owner, settings | {"dtype": "refused"})
    with pytest.raises(InputError, match=r"has ended, with the output above"):
        take(owner, settings | {"dtype": "broken"})
    assert "RuntimeError: no kernel image" in capfd.readouterr().err
    sample(take(owner, settings))


@pytest.mark.parametrize("at_work", [False, True])
def test_engines_end_with_their_snakemake(settings, at_work):
    """Also while one samples: its job is told."""
    owner = stand_in_for_snakemake()
    engine = take(owner, settings)
    completions = engine.sample(requests("wait", 200 if at_work else 2), SAMPLING)
    next(completions) if at_work else list(completions)
    end(owner)
    wait_until(lambda: not is_alive(engine.own.process), "the engine has ended")
    if at_work:
        with pytest.raises(InputError, match="has ended, without any output"):
            list(completions)
    assert not engine.own.files.exists() and not engine.own.files.parent.exists()


def test_a_folder_that_others_may_write_to_is_refused(owner, monkeypatch):
    folder = engine_folder(owner)
    folder.chmod(0o777)
    with pytest.raises(InputError, match="others may write to it"):
        engine_folder(owner)
    folder.chmod(0o700)
    folder.rmdir()


@pytest.mark.parametrize("depth", [1, 2])
def test_the_owner_is_the_outermost_snakemake(tmp_path, depth):
    """Snakemake runs some jobs below a second Snakemake."""
    (tmp_path / "snakemake").write_text("import os, subprocess, sys\nprint(os.getpid(), flush=True)\nsubprocess.run(sys.argv[1:])\n")
    ask = "from persona_leakage.inference.shared_engine import owner_process; print(getattr(owner_process(), 'pid', None))"
    command = [*[sys.executable, str(tmp_path / "snakemake")] * depth, sys.executable, "-c", ask]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert found[-1] == found[0] and len(found) == depth + 1
    assert owner_process() is None, "the tests run below none"
    within = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "SLURM_JOB_ID": "7"})
    assert within.stdout.split()[-1] == "None"
