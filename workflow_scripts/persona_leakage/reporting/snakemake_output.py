"""Snakemake as a child process: passes on its messages, signals and exit code, and shows the work done instead of its step count."""

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from threading import Thread

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.reporting.work_progress import WorkProgress

STEPS = re.compile(rb"\d+ of \d+ steps \(\S+\) done\s*")
EXECUTE = re.compile(rb"Execute (\d+) jobs?\.\.\.\s*")
FINISHED = re.compile(rb"Finished jobid: \d+ \(Rule: (\w+)\)\s*")
FAILED = re.compile(rb"Error in rule \w+")
STOPPED = "Stopped. Run the same command to continue; finished work is kept."
DRAIN_SECONDS = 2.0  # for Snakemake's last messages; jobs that outlive it can keep the pipe open


class Planning:
    """The plan of a run, made while Snakemake starts; .progress is None until it is ready, and stays None if planning fails."""

    def __init__(self, config_path):
        self.progress = None
        self.thread = Thread(target=self._make, args=(config_path,), daemon=True)

    def start(self):
        """Begin to plan."""
        self.thread.start()

    def _make(self, config_path):
        try:
            from persona_leakage.reporting.plan import make_plan

            plan = make_plan(config_path)
            if all(line.hours is not None for line in plan.lines):
                seconds = {line.rule: 3600 * line.hours / line.jobs for line in plan.lines}
                self.progress = WorkProgress(plan.jobs, seconds, kept=plan.kept)
        except (InputError, OSError):  # Snakemake reports what is wrong with a config; without a plan its own count of steps is shown
            self.progress = None


def run_snakemake(command, planning):
    """Run ``command`` to its end and return its exit code, 128 + n if signal n ended it.

    planning: has start() and .progress, a WorkProgress or None. Standard output is the child's own; its standard error passes through here.
    """
    child = subprocess.Popen(command, stderr=subprocess.PIPE)
    with forwarded_signals(child) as received:
        planning.start()
        reader = Thread(target=pass_on, args=(child.stderr, planning), daemon=True)
        reader.start()
        code = child.wait()
        reader.join(DRAIN_SECONDS)
    if received and code:
        print(STOPPED, file=sys.stderr, flush=True)
    return code if code >= 0 else 128 - code


@contextmanager
def forwarded_signals(child):
    """Within the block SIGINT and SIGTERM do not end this process; yields the list of those that came.

    A Ctrl-C reaches every process of the terminal's foreground group, so the child has it already and gets no second one, with
    which Snakemake would stop without cleaning up. Any other signal, and a repeated SIGINT, is sent on.
    """
    received = []

    def handle(number, _frame):
        received.append(number)
        from_terminal = number == signal.SIGINT and in_foreground() and received.count(number) == 1
        if not from_terminal and child.poll() is None:
            child.send_signal(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def in_foreground():
    """Whether this process is one that a terminal's Ctrl-C reaches."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def pass_on(lines, planning):
    """Write the child's lines to standard error, with lines of ``planning`` in place of its count of steps."""
    progress = None
    waiting, started, ended = None, 0, []
    for line in lines:
        if progress is None and planning.progress is not None:
            progress = planning.progress
            catch_up(progress, started, ended)
        if found := EXECUTE.fullmatch(line):
            started += int(found[1])
            if progress:
                progress.start(int(found[1]))
        elif found := FINISHED.fullmatch(line):
            rule = found[1].decode()
            ended.append(rule)
            waiting = progress and progress.finish(rule)
        elif FAILED.match(line) and progress:
            progress.fail()
        if progress and STEPS.fullmatch(line):
            if waiting is None and not progress.pending:
                continue  # the target itself
            line = f"{progress.line(waiting)}\n".encode()
        write(line)


def catch_up(progress, started, ended):
    """Tell a plan that came late what has happened before it."""
    progress.start(started)
    for rule in ended:
        progress.finish(rule)


def write(line):
    """Write bytes to standard error. If its reader has closed, the run continues."""
    try:
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
    except (OSError, ValueError):
        pass
