"""Finished work comes back: the store of outputs, the program in front of every job, and what they save in an experiment."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from persona_leakage.infrastructure.finished_work import UNUSED_DAYS, content_digest, keep, remove_unused, restore
from persona_leakage.reporting.plan import kept_jobs, planned_jobs
from tests.conftest import ROOT, run_program
from tests.support.job_commands import digests

HOME = "results/tiny"
MONK = ["villain", "monk", "comedian", "assistant", "pirate", "nurse", "hero"]
TRAINED = re.compile(r"^training (\w+): \d+ rows, \d+ steps, (?:starting|resuming) at step", re.M)


def outputs_in(folder):
    folder.mkdir()
    (folder / "one.json").write_text('{"a": 1}')
    (folder / "two.bin").write_bytes(b"\0" * 100)
    return [str(folder / "one.json"), str(folder / "two.bin")]


def test_outputs_come_back_with_their_bytes(tmp_path):
    outputs = outputs_in(tmp_path / "results")
    keep(tmp_path / "store/key", outputs)
    shutil.rmtree(tmp_path / "results")
    assert restore(tmp_path / "store/key", outputs)
    assert (tmp_path / "results/two.bin").read_bytes() == b"\0" * 100
    assert Path(outputs[1]).stat().st_nlink == 2, "they take no space twice"
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["one.json", "two.bin"]


@pytest.mark.parametrize("damage", ["bit", "missing", "listing"])
def test_damaged_outputs_are_not_used(tmp_path, damage, capsys):
    outputs = outputs_in(tmp_path / "results")
    keep(tmp_path / "store/key", outputs)
    shutil.rmtree(tmp_path / "results")
    kept = tmp_path / "store/key/1-two.bin"
    if damage == "bit":
        kept.write_bytes(b"\0" * 99 + b"\1")
    elif damage == "missing":
        kept.unlink()
    else:
        (tmp_path / "store/key/outputs.json").write_text('{"sha')
    assert not restore(tmp_path / "store/key", outputs)
    assert "damaged" in capsys.readouterr().out
    assert not (tmp_path / "results").exists() and not (tmp_path / "store/key").exists()


def test_a_store_that_cannot_be_written_fails_no_job(tmp_path, capsys):
    outputs = outputs_in(tmp_path / "results")
    (tmp_path / "store").write_text("a file in its place")
    keep(tmp_path / "store/key", outputs)
    assert "cannot be kept" in capsys.readouterr().out


def test_what_is_long_unused_is_removed(tmp_path):
    outputs = outputs_in(tmp_path / "results")
    for key in ("old", "used"):
        keep(tmp_path / f"store/finished/{key}", outputs)
    checkpoint = tmp_path / "store/checkpoints/old.pt"
    checkpoint.parent.mkdir()
    checkpoint.write_text("")
    now = time.time() + (UNUSED_DAYS + 1) * 86400
    os.utime(tmp_path / "store/finished/used/outputs.json", (now, now))
    for path in (*(tmp_path / "store/finished/used").glob("*-*"),):
        os.utime(path, (0, 0))
    remove_unused(tmp_path / "store", now)
    assert [path.name for path in (tmp_path / "store").glob("*/*")] == ["used"]


def test_a_json_file_counts_without_its_meta(tmp_path):
    texts = ['{"meta": {"wall_seconds": 1}, "a": [1]}', '{"a": [1], "meta": {"wall_seconds": 2}}', '{"a": [2], "meta": {}}', '{"a"']
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.json").write_text(text)
    found = [content_digest(tmp_path / f"{number}.json") for number in range(4)]
    assert found[0] == found[1] and len(set(found)) == 3


def job(tmp_path, key="k"):
    """Options of a job with one input and one output, and a command that makes it and leaves a trace."""
    code = "import pathlib; pathlib.Path('out').write_text(pathlib.Path('in').read_text().upper()); open('trace', 'a').write('x')"
    text = json.dumps({"key": key, "inputs": {"in": ["in"]}, "outputs": ["out"]})
    return ["--store", "store", "--job", text, sys.executable, "-c", code]


def test_a_job_runs_once_for_each_content_of_its_inputs(tmp_path):
    def after(content, key="k"):
        (tmp_path / "in").write_text(content)
        (tmp_path / "out").unlink(missing_ok=True)
        done = run_program("reuse_finished", *job(tmp_path, key), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return (tmp_path / "out").read_text(), len((tmp_path / "trace").read_text()), "kept from earlier" in done.stdout

    assert after("a") == ("A", 1, False)
    assert after("a") == ("A", 1, True)
    assert after("b") == ("B", 2, False)
    assert after("a") == ("A", 2, True)
    assert after("a", "other settings") == ("A", 3, False)


@pytest.mark.parametrize(("end", "code"), [("sys.exit(3)", 3), ("os.kill(os.getpid(), 9)", 137)])
def test_a_job_that_fails_is_not_kept_and_keeps_its_exit_code(tmp_path, end, code):
    (tmp_path / "in").write_text("a")
    options = job(tmp_path)
    options[-1] += f"; import os, sys; {end}"
    assert run_program("reuse_finished", *options, cwd=tmp_path).returncode == code
    assert not (tmp_path / "store").exists()


def test_signals_reach_the_command(tmp_path):
    """SIGTERM, which only the program in front may get, is passed on; Ctrl-C ends both."""
    (tmp_path / "in").write_text("a")
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        options = [*job(tmp_path)[:-1], "import signal, time; signal.signal(2, signal.SIG_DFL); print('on', flush=True); time.sleep(60)"]
        command = [sys.executable, ROOT / "workflow_scripts/reuse_finished.py", *options]
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert process.stdout.readline() == "on\n"
        if number == signal.SIGTERM:
            process.send_signal(number)
        else:
            os.killpg(process.pid, number)
        assert process.wait(timeout=20) == code


def trained_by(log):
    return sorted(TRAINED.findall(log))


def sampled_by(log):
    return sum({label: int(count) for label, count in re.findall(r"^(.*): \d+ of (\d+) new replies are kept", log, re.M)}.values())


def test_a_new_source_trains_one_adapter_and_going_back_computes_nothing(project_copy):
    """pirate is no candidate for negatives, so the pool changes, and the rows of the others do not."""
    old = digests(project_copy.folder, result_files(project_copy))
    project_copy.edit_config(personas__sources=["villain", "comedian", "pirate"])
    assert project_copy.planned("adapters")["train_adapter"] == 3
    log = project_copy.run("--cores", "2", "adapters").stdout
    assert trained_by(log) == ["pirate"] and sampled_by(log) == 4 * 3
    project_copy.edit_config(personas__sources=["villain", "comedian"])
    log = project_copy.run("--cores", "2").stdout
    assert trained_by(log) == [] and sampled_by(log) == 0
    assert digests(project_copy.folder, old) == old


def result_files(project):
    """Names of the tiny experiment's files, less what tells of the run: config, report, logs."""
    folders = ("training", "evaluation", "geometry", "analysis")
    paths = (path for folder in folders for path in (project.folder / HOME / folder).rglob("*") if path.is_file())
    return sorted(str(path.relative_to(project.folder)) for path in paths if not path.name.startswith("."))


def test_the_plan_counts_what_comes_back(project_copy, monkeypatch):
    """Of an experiment with another name all but its record and report; with another marker nothing from the training rows on."""
    monkeypatch.chdir(project_copy.folder)
    project_copy.edit_config(experiment="other")
    jobs = planned_jobs("config.yaml")
    kept = {job.rule for job in kept_jobs(jobs)}
    assert {job.rule for job in jobs} - kept == {"build_report", "write_run_config"}
    assert {"sample_training_pool", "train_adapter", "sample_completions", "correlate_leakage", "plot_scatter"} <= kept
    project_copy.edit_config(behaviour__marker="[XYZ]")
    assert {job.rule for job in kept_jobs(planned_jobs("config.yaml"))} == {
        "sample_training_pool",
        "sample_base_completions",
        "extract_centroids",
        "extract_training_centroids",
    }


def test_another_experiment_samples_the_new_persona_only(project_copy):
    project_copy.edit_config(experiment="other", personas__panel=MONK)
    log = project_copy.run("--cores", "2", "evaluations", "centroids", "adapters").stdout
    assert trained_by(log) == []
    assert sampled_by(log) == 3 * 2 * 2, "monk's, of three states, two questions and two draws"
    assert "12 of 14 prompts are kept from earlier" in log
    for name in ("training/pool.jsonl.gz", "training/villain/seed42/adapter/adapter_model.safetensors"):
        assert (project_copy.folder / "results/other" / name).read_bytes() == (project_copy.folder / HOME / name).read_bytes()
