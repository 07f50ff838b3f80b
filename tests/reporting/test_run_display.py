"""What `make run` shows: a block on a terminal, plain lines elsewhere, errors at the end, and a time left that holds."""

import csv
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from types import SimpleNamespace

import numpy as np
import pytest

from persona_leakage.reporting import plan, run_display
from persona_leakage.reporting.run_display import FAILED, STOPPED, LogHandler, as_time
from persona_leakage.reporting.time_left import TimeLeft
from tests.conftest import ROOT
from tests.support.waiting import wait_until

sys.path.append(str(ROOT / "benchmarks"))

from run_progress import Job, by_processor_time, largest_distance, planned_seconds, read_run, replay

COMMAND = [sys.executable, "-m", "snakemake", "--cores", "2", "--keep-going", "--logger", "leakage"]
# Without the size that pytest-xdist gives its workers.
ENV = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
ENV |= {"PYTHONPATH": str(ROOT / "workflow_scripts"), "TERM": "xterm"}
# Jobs whose output must not reach the terminal; the slow one waits for the file "go" and counts as infrastructure/progress.py does.
SNAKEFILE = r"""
rule all:
    input: "slow.txt", "results/summary.json"
rule score_leakage:
    output: "results/summary.json"
    shell: '''echo noise; echo '{{"source": "villain", "source_rate": 0.8, "mean_bystander_rate": 0.26}}' > {output}'''
rule a_rule_with_quite_a_long_name_for_a_terminal_of_eighty_columns_and_no_more:
    output: "slow.txt"
    log: "logs/slow.log"
    shell: '''(echo 'replies: | 3/6 [00:05<01:10, x'; until [ -e go ]; do sleep 0.1; done; touch {output}) 2>&1 | tee {log}'''
"""
BROKEN = r"""
rule all:
    input: "good.txt", "bad.txt"
rule break_it:
    output: "bad.txt"
    log: "logs/bad.log"
    shell: '''(echo 'error: my.yaml: x is 3; it must be 4'; exit 3) 2>&1 | tee {log}'''
rule work:
    output: "good.txt"
    shell: "sleep 1; touch {output}"
"""
SLOW = "a_rule_with_quite_a_long_name_for_a_terminal_of_eighty_columns_and_no_more"


def in_terminal(folder, columns):
    """(process id, file) of the toy run in a terminal of so many columns."""
    (folder / "Snakefile").write_text(SNAKEFILE)
    pid, terminal = pty.fork()
    if not pid:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test run in the background ignores Ctrl-C
        fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.chdir(folder)
        os.execve(sys.executable, COMMAND, ENV)
    return pid, terminal


def read_until(terminal, pattern, seconds=120):
    """What a terminal shows until it matches ``pattern``, or its process has ended."""
    text, end = "", time.monotonic() + seconds
    while not re.search(pattern, text) and time.monotonic() < end:
        try:
            text += os.read(terminal, 4096).decode()
        except OSError:
            break
    return text


def exit_code(pid):
    """Exit code of the toy run; AssertionError if it does not end in time."""

    def ended():
        found, status = os.waitpid(pid, os.WNOHANG)
        return found and [os.waitstatus_to_exitcode(status)]

    return wait_until(ended, "the toy run ends", 60)[0]


def lines_of(text):
    """The lines that a terminal has shown, also those of the block, which it shows again and again."""
    return [line.rstrip() for line in re.split(r"(?:\r|\n|\x1b\[[?\d;]*[A-Za-z])+", text) if line]


@pytest.mark.parametrize(("columns", "row"), [(80, f"{SLOW[:68]}…"), (200, f"{SLOW}  3/6")])
def test_a_terminal_shows_a_block_that_fits(tmp_path, columns, row):
    pid, terminal = in_terminal(tmp_path, columns)
    before = read_until(terminal, row) + read_until(terminal, r"bystanders 26 %\s*\x1b")
    (tmp_path / "go").touch()
    text = before + read_until(terminal, "\0")
    assert exit_code(pid) == 0
    block, lines = lines_of(before), [re.sub(r"\d+ s\b", "? s", line) for line in lines_of(text)]
    assert any(re.fullmatch(rf"  0:\d\d:\d\d  {row}", line) for line in block) and max(map(len, block)) <= columns, block
    assert {"waiting: 1 score_leakage", "villain: own 80 %, bystanders 26 %"} & {*block}
    assert "1 of 2 jobs  score_leakage, ? s: villain: own 80 %, bystanders 26 %" in lines
    assert any(line.startswith(f"2 of 2 jobs  {SLOW}"[:columns]) for line in lines)
    assert "noise" not in text and text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is back


def test_ctrl_c_ends_with_one_line_on_how_to_continue(tmp_path):
    pid, terminal = in_terminal(tmp_path, 80)
    read_until(terminal, rf"0:\d\d:\d\d  {SLOW[:60]}")  # running: an interrupt while Snakemake chooses its jobs can get lost
    os.write(terminal, b"\x03")
    lines = lines_of(read_until(terminal, "\0"))
    assert exit_code(pid) == 1
    assert lines[-1] == STOPPED and not re.search("rror|failed", "".join(lines)), lines


def test_a_pipe_gets_one_line_per_job(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "go").touch()
    done = subprocess.run(COMMAND, cwd=tmp_path, env=ENV, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0 and done.stdout == ""
    lines = [re.sub(r"\d+ s", "? s", line.partition("jobs  ")[2]) for line in done.stderr.splitlines()]
    assert sorted(lines) == [f"{SLOW}, ? s", "score_leakage, ? s: villain: own 80 %, bystanders 26 %"]


def test_a_failed_jobs_error_comes_last_and_its_command_is_in_the_log(tmp_path):
    (tmp_path / "Snakefile").write_text(BROKEN)
    done = subprocess.run(COMMAND, cwd=tmp_path, env=ENV, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1
    first, second, *last = done.stderr.splitlines()
    assert first == "failed: break_it" and second.startswith("1 of 2 jobs  work, ")
    assert last[:3] == ["Error in break_it:", "error: my.yaml: x is 3; it must be 4", "Log: logs/bad.log"]
    assert last[4:] == [FAILED]
    command = "exit 3) 2>&1 | tee"
    assert command not in done.stderr and command in (tmp_path / last[3].removeprefix("Command: in ")).read_text()


def test_an_error_without_a_job_is_shown(tmp_path):
    (tmp_path / "Snakefile").write_text('rule all:\n    input: "no_rule_makes_this"\n')
    done = subprocess.run(COMMAND, cwd=tmp_path, env=ENV, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1 and "no_rule_makes_this" in done.stderr


class Clock:
    now = 0.0

    def monotonic(self):
        return self.now


def test_block_and_lines_with_a_plan(monkeypatch, tmp_path, capsys):
    """Two adapters planned at 100 s. The first takes 200 s, so the second is expected to take as long."""
    clock = Clock()
    monkeypatch.setattr(run_display, "time", clock)
    handler = LogHandler(SimpleNamespace(dryrun=False), None)
    handler.time_left.counts = {"train_adapter": 2, "plot_scatter": 10}
    handler.time_left.planned = {"train_adapter": 100, "plot_scatter": 1}
    for number, source in enumerate(["villain", "comedian"]):
        job = {"jobid": number, "rule_name": "train_adapter", "wildcards": {"experiment": "x", "source": source, "seed": "42"}}
        handler.emit(SimpleNamespace(event="job_info", output=[source], log=[str(tmp_path / source)], **job))
        clock.now += 200
        if not number:
            handler.emit(SimpleNamespace(event="job_finished", job_id=0))
    assert capsys.readouterr().err == " 48 %,  4 min left  train_adapter villain seed42, 3 min\n"
    (tmp_path / "comedian").write_text("training:  90%|## | 9/10 [03:00<01:00,  2steps/s]\n")
    assert handler._block(clock.now)[1:] == [
        " 83 %,   80 s left   0:06:40 elapsed   1 of 12 jobs",
        "  0:03:20  train_adapter comedian seed42  9/10",
        "waiting: 10 plot_scatter",
    ]
    handler.closed.set()


def test_the_config_of_the_command_line_is_planned(monkeypatch):
    """Snakemake lists it before the Snakefile's own."""
    planned = []
    monkeypatch.setattr(plan, "make_plan", lambda path: planned.append(path) or SimpleNamespace(lines=[], kept=[]))
    handler = LogHandler(SimpleNamespace(dryrun=False), None)
    handler.emit(SimpleNamespace(event="workflow_started", configfiles=["mine.yaml", "config.yaml"]))
    wait_until(lambda: planned, "a plan")
    assert planned == ["mine.yaml"]
    handler.closed.set()


def test_a_config_that_cannot_be_planned_leaves_the_run_alone(tmp_path, capsys):
    """Snakemake reports what is wrong with it."""
    handler = LogHandler(SimpleNamespace(dryrun=False), None)
    handler._plan(tmp_path / "missing.yaml")
    assert handler.time_left.left(0.0) is None and not capsys.readouterr().err
    handler.closed.set()


def test_jobs_from_the_store_tell_nothing_of_others():
    """One of two adapters comes back from the store within a second; the other is still planned at 100 s."""
    left = TimeLeft({"train_adapter": 2}, {"train_adapter": 100}, kept={("a",): "train_adapter"})
    assert left.left(0.0) == 101
    left.start(1, "train_adapter", ("a",), 0.0)
    left.end(1, 1.0)
    assert left.left(1.0) == 100 and left.done == 1
    left.start(2, "train_adapter", ("b",), 1.0)
    left.end(2, 2.0, succeeded=False)
    assert left.left(2.0) == 0 and not left.waiting()


def default_run(reports, cores=2):
    """[Job] of the default run in their order, two at once, with the CPU seconds that they took.

    From the benchmark files of a run on 2 cores of an Intel Xeon (2026-11-29). CPU time, because the machine had other work. reports:
    jobs of a model tell their time left every 10 seconds, as in their logs.
    """
    free, jobs = [0.0] * cores, []
    with (ROOT / "tests/data/default_run_seconds.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            core = free.index(min(free))
            start, end = free[core], free[core] + float(row["seconds"])
            tells = reports and row["rule"].startswith(("sample", "train_", "extract", "teacher"))
            told = tuple((at, end - at) for at in np.arange(start + 15, end, 10)) if tells else ()
            jobs.append(Job(row["rule"], start, end, told))
            free[core] = end
    return jobs


@pytest.mark.parametrize("reports", [False, True])
def test_progress_of_the_default_run_is_within_ten_points_from_a_fifth_on(monkeypatch, reports):
    """Planned with the shipped rates, which are another machine's."""
    jobs = default_run(reports)
    monkeypatch.chdir(ROOT)
    assert largest_distance(replay(jobs, planned_seconds(ROOT / "config.yaml", jobs))) < 0.1


LOG = """SNAKEMAKE
  Date: 2026-11-29 10:00:00
[Sun Nov 29 10:00:10 2026]
localrule fetch_model:
    output: model.json
    log: logs/fetch_model.log
    jobid: 2
[Sun Nov 29 10:00:20 2026]
Finished jobid: 2 (Rule: fetch_model)
1 of 3 steps (33%) done
[Sun Nov 29 10:00:20 2026]
rule train_adapter:
    input: model.json
    output: adapter
    log: logs/train.log
    jobid: 1
    benchmark: train.tsv
[Sun Nov 29 10:02:20 2026]
Finished jobid: 1 (Rule: train_adapter)
[Sun Nov 29 10:02:20 2026]
rule all:
    input: adapter
    jobid: 0
[Sun Nov 29 10:02:20 2026]
Finished jobid: 0 (Rule: all)
"""


def test_a_finished_run_is_read_from_its_logs(tmp_path, monkeypatch):
    """Times since the run began; a job's reports end with the job; processor time shrinks both."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs").mkdir()
    (tmp_path / "run.log").write_text(LOG)
    (tmp_path / "logs/train.log").write_text("loading\nrows: 5/9 [00:40<00:50, 1rows/s]\nrows: 9/9 [01:30<00:00, 1rows/s]\n")
    (tmp_path / "train.tsv").write_text("s\tcpu_time\n120\t60\n")
    fetch, train = read_run("run.log")
    assert (fetch.rule, fetch.start, fetch.end, fetch.reports) == ("fetch_model", 10, 20, ())
    assert (train.rule, train.start, train.end, train.reports) == ("train_adapter", 20, 140, ((90, 50), (140, 0)))
    (half,) = by_processor_time([train], 2)
    assert (half.start, half.end, half.reports) == (0, 60, ((35, 25), (60, 0)))


def test_the_distance_counts_from_a_share_on():
    assert largest_distance([(0.1, 0.9), (0.2, 0.25), (0.5, 0.42)]) == pytest.approx(0.08)


@pytest.mark.parametrize(("seconds", "words"), [(1, "1 s"), (41, "41 s"), (540, "9 min"), (9000, "2.5 h")])
def test_time_in_words(seconds, words):
    assert as_time(seconds) == words
