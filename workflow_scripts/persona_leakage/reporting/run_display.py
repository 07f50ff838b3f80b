"""What a run shows: a line for each finished job, on a terminal a block with the jobs at work, and a failed job's error at the end.

Used by the plugin snakemake_logger_plugin_leakage; it loads what it shows with only when a run begins.
"""

import json
import os
import re
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from logging import WARNING
from pathlib import Path
from threading import Event, Thread

from snakemake_interface_logger_plugins.base import LogHandlerBase

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.reporting.time_left import TimeLeft

STOPPED = "Stopped. Run the same command to continue; finished work is kept."
FAILED = "Fix the cause and run the same command to continue; finished work is kept."
INTERRUPTS = ("Terminating processes on user request", "Will exit after finishing currently running jobs")
COUNTED = re.compile(rb"(\d+/\d+) \[[^<\]]*<([\d:]+)")  # in the lines of infrastructure/progress.py: done/all [time<time left
LAST_BYTES, LAST_LINES = 4096, 10  # of a log
BAR, ROWS = 40, 8  # of the block: characters of its bar, lines of jobs and of results


@dataclass(frozen=True)
class Job:
    """A job that has started. began: seconds of the monotonic clock."""

    name: str
    outputs: tuple
    log: Path | None
    began: float


class LogHandler(LogHandlerBase):
    """Takes Snakemake's records in a thread of their own; ``self.lock`` also keeps out the thread that redraws the block."""

    writes_to_stream = has_filter = has_formatter = True
    writes_to_file = needs_rulegraph = False

    def __post_init__(self):
        self.began, self.jobs, self.time_left = time.monotonic(), {}, TimeLeft({})
        self.results, self.failed, self.errors = [], {}, []
        self.stopped, self.full_log, self.live, self.closed = False, None, None, Event()

    def emit(self, record):
        """Handle a record of Snakemake: one method for each kind of event."""
        try:
            getattr(self, f"_{getattr(record, 'event', None)}", self._message)(record)
        except Exception:  # as logging's own handlers: a fault of the display must not end the run
            self.handleError(record)

    def close(self):
        """Say how the run ended: nothing if it succeeded, else one line, or what failed."""
        if not self.closed.is_set():
            self.closed.set()
            with self.lock:
                if self.live:
                    self.live.stop()
                self._print(*self._ending())
        super().close()

    def _workflow_started(self, record):
        if record.configfiles and not self.common_settings.dryrun:  # that of --configfile first, last config.yaml
            Thread(target=self._plan, args=(record.configfiles[0],), daemon=True).start()

    def _plan(self, config_path):
        """Plan with the rates of make plan; without a plan the finished jobs are counted. Snakemake reports what is wrong with a config."""
        from persona_leakage.reporting.plan import make_plan

        try:
            plan = make_plan(config_path)
        except (InputError, OSError):
            return
        if all(line.hours is not None for line in plan.lines):
            self.time_left.kept = {job.outputs: job.rule for job in plan.kept}
            self.time_left.planned = {line.rule: 3600 * line.hours / line.jobs for line in plan.lines}

    def _run_info(self, record):
        if self.common_settings.dryrun or self.time_left.counts:
            return
        self.time_left.counts = {rule: count for rule, count in record.stats.items() if rule not in ("total", "all")}
        with Path(os.devnull).open("w") as nowhere:  # jobs print what their logs hold
            os.dup2(nowhere.fileno(), sys.__stdout__.fileno())
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            from rich.console import Console
            from rich.live import Live

            self.live = Live(console=Console(stderr=True), auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
            self.live.start()
            Thread(target=self._redraw, daemon=True).start()

    def _job_info(self, record):
        now, outputs = time.monotonic(), tuple(record.output)
        if not outputs:
            return  # a target
        log = Path(record.log[0]) if record.log else None
        self.jobs[record.jobid] = Job(job_name(record.rule_name, record.wildcards), outputs, log, now)
        self.failed.pop(record.jobid, None)  # another attempt
        self.time_left.start(record.jobid, record.rule_name, outputs, now)

    def _job_finished(self, record):
        now, job = time.monotonic(), self.jobs.pop(record.job_id, None)
        if job:
            self.time_left.end(record.job_id, now)
            found = result_of(job.outputs)
            self.results += [found] if found else []
            self._print(f"{self._share(now)[1]}  {job.name}, {as_time(now - job.began)}{': ' + found if found else ''}")

    def _job_error(self, record):
        job = self.jobs.pop(record.jobid, None)
        if job and not self.stopped:
            self.time_left.end(record.jobid, time.monotonic(), succeeded=False)
            self.failed[record.jobid] = job
            self._print(f"failed: {job.name}")

    def _message(self, record):
        text = str(record.msg)
        if text.startswith(INTERRUPTS):
            self.stopped = True
        elif text.startswith("Complete log(s): "):
            self.full_log = text.partition(": ")[2]
        elif text.startswith("Nothing to be done"):
            self._print(text)
        elif record.levelno > WARNING:
            self.errors.append(text)
        elif record.levelno == WARNING:
            self._print(text)

    def _ending(self):
        """Lines on how the run ended."""
        if self.stopped:
            return [STOPPED]
        if not self.failed:
            return self.errors
        lines = []
        for job in self.failed.values():
            text = last_lines(job.log) or "\n".join(self.errors)
            lines += ["", f"Error in {job.name}:", text, f"Log: {job.log}" if job.log else ""]
        return [*lines, f"Command: in {self.full_log}" if self.full_log else "", FAILED]

    def _share(self, now):
        """(Share of the work that is done or None, that and the time left in words); without a plan the number of finished jobs."""
        for number, job in self.jobs.items():
            self.time_left.running[number].left = progress_of(job.log)[1]
        left = self.time_left.left(now)
        if left is None:
            return None, self._count()
        share = (now - self.began) / (now - self.began + left)
        return share, f"{round(100 * share):>3} %, {as_time(left):>6} left"

    def _count(self):
        return f"{self.time_left.done} of {sum(self.time_left.counts.values())} jobs"

    def _redraw(self):
        from rich.text import Text

        while not self.closed.wait(1):
            with self.lock:
                if not self.closed.is_set():
                    text = "\n".join(self._block(time.monotonic()))
                    self.live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)

    def _block(self, now):
        """The lines of the block: the run, the jobs at work, those that wait, the results."""
        share, words = self._share(now)
        counts = "" if share is None else f"   {self._count()}"
        filled = round(BAR * (share or 0))
        rows = [f"  {timedelta(seconds=int(now - job.began))}  {job.name}{progress_of(job.log)[0]}" for job in self.jobs.values()]
        waiting = ", ".join(f"{count} {rule}" for rule, count in self.time_left.waiting().most_common())
        return [
            "━" * filled + "─" * (BAR - filled),
            f"{words}   {timedelta(seconds=int(now - self.began))} elapsed{counts}",
            *shortened(rows),
            *([f"waiting: {waiting}"] if waiting else []),
            *shortened(self.results),
        ]

    def _print(self, *lines):
        """Print lines to standard error, above the block. If its reader has closed, the run continues."""
        if self.live and not self.closed.is_set():
            self.live.console.print(*lines, sep="\n", soft_wrap=True, highlight=False, markup=False)
            return
        try:
            for line in filter(None, lines):
                print(line, file=sys.stderr, flush=True)
        except (OSError, ValueError):
            pass


def shortened(lines):
    """The last of some lines, and how many more there are."""
    return lines if len(lines) <= ROWS else [f"{len(lines) - ROWS} more", *lines[-ROWS:]]


def job_name(rule, wildcards):
    """A job's rule and the values of its wildcards; a number bears its wildcard's name (seed42)."""
    values = [f"{key}{value}" if str(value).isdigit() else str(value) for key, value in wildcards.items() if key != "experiment"]
    return " ".join([rule, *values])


def result_of(outputs):
    """What a finished job found, in words: how often the source and its bystanders show the behaviour; "" if its outputs do not say."""
    path = next((path for path in outputs if path.endswith("/summary.json")), None)
    try:
        summary = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
        others = f"{100 * summary['mean_bystander_rate']:.0f} %"
        own = summary["source_rate"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return f"base model {others}" if own is None else f"{summary['source']}: own {100 * own:.0f} %, bystanders {others}"


def progress_of(log):
    """("  done/all", seconds left) that a job at work last printed; ("", None) if it has not."""
    found = COUNTED.findall(last_bytes(log))
    if not found:
        return "", None
    counted, left = found[-1]
    return f"  {counted.decode()}", seconds_of_clock(left)


def seconds_of_clock(text):
    """Seconds of b"1:02:03" or b"02:03"."""
    return sum(60**power * int(part) for power, part in enumerate(reversed(text.split(b":"))))


def last_lines(log):
    """The last lines of a log, "" if there is none."""
    return "\n".join(last_bytes(log).decode(errors="replace").splitlines()[-LAST_LINES:])


def last_bytes(log):
    """The end of a file, b"" if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LAST_BYTES))
            return file.read()
    except (OSError, AttributeError):
        return b""


def as_time(seconds):
    """Seconds in words."""
    if seconds < 90:
        return f"{round(seconds)} s"
    return f"{round(seconds / 60)} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
