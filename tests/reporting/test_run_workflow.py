"""What `make run` shows of a run: work in place of steps, and Snakemake's own messages, signals and exit codes as they are."""

import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from persona_leakage.reporting.plan import PlannedJob, parse_jobs
from persona_leakage.reporting.snakemake_output import STOPPED, Planning
from persona_leakage.reporting.work_progress import WorkProgress, as_time
from tests.conftest import ROOT, run_program

# A Snakemake of two jobs: two minutes planned for the adapter, one for its replies. At SIGINT it cleans up, once.
FAKE = """
import signal, sys, time
from pathlib import Path
def interrupted(*_):
    print("cleaning up", file=sys.stderr, flush=True)
    time.sleep(0.3)
    sys.exit(3)
signal.signal(signal.SIGINT, interrupted)
signal.signal(signal.SIGTERM, interrupted)
say = lambda text: print(text, file=sys.stderr, flush=True)
deadline = time.monotonic() + 20
while not Path(__file__).with_name("planned").exists():  # steps before the plan is there are shown as they are
    assert time.monotonic() < deadline
    time.sleep(0.01)
print("a job's own output", flush=True)
say("Execute 1 jobs...")
say("Finished jobid: 7 (Rule: train_adapter)")
say("1 of 3 steps (33%) done")
say("Error in rule sample_completions:")
say("    jobid: 8")
say("ready")
if "wait" in sys.argv:
    time.sleep(30)
sys.exit(int(sys.argv[1]))
"""
CALL = """
import sys
from pathlib import Path
from persona_leakage.reporting.plan import PlannedJob
from persona_leakage.reporting.snakemake_output import run_snakemake
from persona_leakage.reporting.work_progress import WorkProgress
class Planning:
    progress = None
    def start(self):
        if sys.argv[1] == "planned":
            where = {"source": "villain", "seed": "42"}
            jobs = [PlannedJob(rule, where, ("nowhere",)) for rule in ("train_adapter", "sample_completions")]
            self.progress = WorkProgress(jobs, {"train_adapter": 120, "sample_completions": 60})
        Path(sys.argv[2]).with_name("planned").touch()
sys.exit(run_snakemake([sys.executable, *sys.argv[2:]], Planning()))
"""


def start(tmp_path, plan, *arguments, **options):
    """run_snakemake around the made-up Snakemake, in a session of its own."""
    (tmp_path / "fake.py").write_text(FAKE)
    command = [sys.executable, "-c", CALL, plan, str(tmp_path / "fake.py"), *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "workflow_scripts")}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    return subprocess.Popen(command, env=env, **{**streams, **options})


@pytest.mark.parametrize("code", [0, 1])
def test_steps_become_work_and_nothing_else_changes(tmp_path, code):
    out, err = (child := start(tmp_path, "planned", str(code))).communicate(timeout=30)
    assert child.returncode == code and out == "a job's own output\n"
    lines = err.splitlines()
    (work,) = (line for line in lines if line.startswith("work: "))
    assert work.endswith("(1 of 2 jobs; villain's adapter trained, seed 42)") and "about" in work
    assert [line for line in lines if line != work] == [
        "Execute 1 jobs...",
        "Finished jobid: 7 (Rule: train_adapter)",
        "Error in rule sample_completions:",
        "    jobid: 8",
        "ready",
    ]


def test_without_a_plan_snakemakes_own_steps_are_shown(tmp_path):
    _, err = start(tmp_path, "none", "0").communicate(timeout=30)
    assert "1 of 3 steps (33%) done" in err and "work:" not in err


def test_a_config_that_cannot_be_planned_leaves_the_run_alone(tmp_path):
    """Snakemake reports what is wrong with it."""
    planning = Planning(tmp_path / "missing.yaml")
    planning.start()
    planning.thread.join(20)
    assert planning.progress is None and not planning.thread.is_alive()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_and_the_child_waited_for(tmp_path, number):
    child = start(tmp_path, "planned", "0", "wait")
    while "ready" not in child.stderr.readline():
        pass
    child.send_signal(number)
    _, err = child.communicate(timeout=10)
    assert child.returncode == 3 and err.splitlines() == ["cleaning up", STOPPED]


def test_a_child_that_a_signal_killed_is_no_success(tmp_path):
    (tmp_path / "dies.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    env = {**os.environ, "PYTHONPATH": str(ROOT / "workflow_scripts")}
    done = subprocess.run([sys.executable, "-c", CALL, "none", str(tmp_path / "dies.py")], env=env, capture_output=True, timeout=30)
    assert done.returncode == 128 + signal.SIGKILL


def test_ctrl_c_at_a_terminal_reaches_the_child_once(tmp_path):
    """The terminal sends it to the whole group: passed on as well, it would come twice and cut the cleaning up short."""
    (tmp_path / "fake.py").write_text(FAKE)
    os.environ["PYTHONPATH"], before = str(ROOT / "workflow_scripts"), os.environ.get("PYTHONPATH")
    try:
        pid, terminal = pty.fork()
        if not pid:
            os.execv(sys.executable, [sys.executable, "-c", CALL, "none", str(tmp_path / "fake.py"), "0", "wait"])
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    text = read_until(terminal, "ready")
    os.write(terminal, b"\x03")
    text += read_until(terminal, STOPPED)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 3 and text.count("cleaning up") == 1


def read_until(terminal, word, seconds=20):
    """What a terminal shows until ``word`` is there, or its process has ended."""
    text, end = "", time.monotonic() + seconds
    while word not in text and time.monotonic() < end:
        try:
            text += os.read(terminal, 4096).decode()
        except OSError:
            break
    return text


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_share_and_time_left_are_of_work_and_learn_from_the_run(tmp_path):
    """Two jobs of 100 s planned and ten of 1 s; the first of the two takes 200 s, so the second is expected to as well."""
    clock = Clock()
    benchmark = tmp_path / "first.tsv"
    heavy = [PlannedJob("train_adapter", {"source": name}, (str(tmp_path / name),), str(benchmark)) for name in ("villain", "comedian")]
    light = [PlannedJob("plot_scatter", {}, (str(tmp_path / str(number)),)) for number in range(10)]
    work = WorkProgress(heavy + light, {"train_adapter": 100, "plot_scatter": 1}, clock, wall_clock=lambda: 0.0)
    work.start(1)
    clock.now = 200.0
    benchmark.write_text("s\n200\n")
    (tmp_path / "comedian").touch()
    job = work.finish("train_adapter")
    assert job.wildcards["source"] == "comedian"
    assert work.remaining() == pytest.approx(200 + 10)
    assert work.line(job) == "work: 49 % done, about 4 min left (1 of 12 jobs; comedian's adapter trained)"
    benchmark.unlink()
    work.start(2)
    clock.now = 300.0  # two at once: 100 s of work each
    assert work.remaining() == pytest.approx(10)
    for rule in ["train_adapter", *["plot_scatter"] * 10]:
        work.finish(rule)
    assert work.finish("all") is None and work.line() == "work: 100 % done (12 of 12 jobs)"


@pytest.mark.parametrize(("seconds", "words"), [(1, "5 s"), (41, "40 s"), (540, "9 min"), (9000, "2.5 h")])
def test_time_in_words(seconds, words):
    assert as_time(seconds) == words


def test_jobs_of_a_dry_run():
    text = """
[Sat Nov 28 15:13:24 2026]
localrule train_adapter:
    input: a, b
    output: results/x/a.safetensors, results/x/b.json
    jobid: 3
    benchmark: benchmarks/x/train_adapter/villain/seed42.tsv
    reason: Missing output files: results/x/b.json
    wildcards: experiment=x, source=villain, seed=42
[Sat Nov 28 15:13:24 2026]
rule all:
    input: a
    jobid: 0
"""
    (job,) = parse_jobs(text)
    assert job.rule == "train_adapter" and job.outputs == ("results/x/a.safetensors", "results/x/b.json")
    assert job.wildcards == {"experiment": "x", "source": "villain", "seed": "42"} and job.benchmark.endswith("villain/seed42.tsv")


def test_exit_code_of_snakemake_itself(tmp_path):
    done = run_program("run_workflow", "--config", "none.yaml", "--cores", "1", cwd=tmp_path)
    assert done.returncode == 1 and "none.yaml" in done.stderr + done.stdout
