"""Replay a finished run and compare the progress that its display showed with the true one.

The run's jobs come from Snakemake's log, the times left that they reported from their own logs. The plan is that of an empty clone.
"""

import argparse
import csv
import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from persona_leakage.reporting import plan
from persona_leakage.reporting.run_display import COUNTED, seconds_of_clock
from persona_leakage.reporting.time_left import TimeLeft

STARTED = re.compile(r"^\[(.+)\]\n(?:local)?rule (\w+):\n((?:    .*\n)+)", re.M)
FINISHED = re.compile(r"^\[(.+)\]\nFinished jobid: (\d+)", re.M)
FIELD = re.compile(r"^    (output|log|jobid|benchmark): (.*)$", re.M)
BEGAN = re.compile(r"^  Date: (.+)$", re.M)
SPENT = re.compile(rb"\[([\d:]+)<")  # in the lines of infrastructure/progress.py: [time<time left
STEPS = 200


@dataclass
class Job:
    """A finished job: seconds since the run began; reports: [(at, seconds left)] that it printed."""

    rule: str
    start: float
    end: float
    reports: tuple = ()
    benchmark: str = ""


def read_run(path):
    """[Job] of a Snakemake log in the order of their starts; paths in it are relative to the current folder."""
    text = Path(path).read_text(encoding="utf-8")
    began = time.mktime(time.strptime(BEGAN.search(text)[1], "%Y-%m-%d %H:%M:%S"))
    ends = {number: seconds_since(began, at) for at, number in FINISHED.findall(text)}
    jobs = []
    for at, rule, block in STARTED.findall(text):
        fields = dict(FIELD.findall(block))
        if "output" in fields and fields["jobid"] in ends:
            end = ends[fields["jobid"]]
            reports = read_reports(Path(fields["log"]), end) if "log" in fields else ()
            start = seconds_since(began, at)  # the log has whole seconds, and a job ends after it began
            jobs.append(Job(rule, start, max(end, start + 0.5), reports, fields.get("benchmark", "")))
    return jobs


def seconds_since(began, text):
    """Seconds from ``began`` to a time as Snakemake's log has it."""
    return time.mktime(time.strptime(text)) - began


def read_reports(log, end):
    """((at, seconds left), ...) that a job's log says; its last line is taken to be from the job's end."""
    lines = [line for line in log.read_bytes().splitlines() if COUNTED.search(line)] if log.is_file() else []
    spent = [seconds_of_clock(SPENT.search(line)[1]) for line in lines]
    return tuple((end - (spent[-1] - each), seconds_of_clock(COUNTED.search(line)[2])) for each, line in zip(spent, lines, strict=True))


def by_processor_time(jobs, cores):
    """The jobs as on an idle machine: each takes its processor time, ``cores`` at once in the order of their starts."""
    free, moved = [0.0] * cores, []
    for job in sorted(jobs, key=lambda job: job.start):
        core = free.index(min(free))
        spent = processor_seconds(job.benchmark)
        scale = spent / max(job.end - job.start, 1.0)
        reports = tuple((free[core] + scale * (at - job.start), scale * left) for at, left in job.reports)
        moved.append(Job(job.rule, free[core], free[core] + spent, reports, job.benchmark))
        free[core] += spent
    return moved


def processor_seconds(path):
    """The processor time of a Snakemake benchmark file, at least half a second; one for a job that is shorter than it measures."""
    with Path(path).open(encoding="utf-8", newline="") as lines:
        spent = [row["cpu_time"] for row in csv.DictReader(lines, delimiter="\t")]
    return max(sum(1.0 if each in ("-", "NA", "") else float(each) for each in spent), 0.5)


def planned_seconds(config, jobs):
    """{rule: planned seconds of a job} of an empty clone: all jobs, with the rates of resources/rates.yaml."""
    planned = [plan.PlannedJob(job.rule, {}, (str(number),)) for number, job in enumerate(jobs)]
    kept, plan.planned_jobs = plan.planned_jobs, lambda *_: planned
    try:
        lines = plan.make_plan(config, "cpu2", everything=True).lines
    finally:
        plan.planned_jobs = kept
    return {line.rule: 3600 * line.hours / line.jobs for line in lines}


def replay(jobs, planned):
    """[(true share of the time, share that was shown)] in STEPS steps."""
    left = TimeLeft(Counter(job.rule for job in jobs), planned)
    events = sorted((at, starts, number) for number, job in enumerate(jobs) for at, starts in ((job.start, True), (job.end, False)))
    shares, end = [], max(job.end for job in jobs)
    for step in range(1, STEPS):
        now = end * step / STEPS
        while events and events[0][0] <= now:
            at, starts, number = events.pop(0)
            left.start(number, jobs[number].rule, (number,), at) if starts else left.end(number, at)
        for number, job in left.running.items():
            said = [seconds for at, seconds in jobs[number].reports if at <= now]
            job.left = said[-1] if said else None
        shares.append((now / end, now / (now + left.left(now))))
    return shares


def largest_distance(shares, since=0.2):
    """The largest difference between the true share and the one shown, from a share ``since`` of the time on."""
    return max(abs(shown - true) for true, shown in shares if true >= since)


def main():
    """Print the progress shown at each twentieth of the time, and the largest difference from a fifth on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", nargs="?", help="a log of Snakemake (default: the newest in .snakemake/log)")
    parser.add_argument("--config", default="config.yaml", help="the config of the run")
    parser.add_argument("--processor-time", type=int, metavar="CORES", help="replay each job's processor time, so many jobs at once")
    args = parser.parse_args()
    jobs = read_run(args.log or max(Path(".snakemake/log").glob("*.log")))
    jobs = by_processor_time(jobs, args.processor_time) if args.processor_time else jobs
    shares = replay(jobs, planned_seconds(args.config, jobs))
    print(f"{len(jobs)} jobs, {max(job.end for job in jobs):.0f} s")
    for true, shown in shares[STEPS // 20 - 1 :: STEPS // 20]:
        print(f"true {100 * true:5.1f} %   shown {100 * shown:5.1f} %   {100 * (shown - true):+6.1f}")
    print(f"largest difference from 20 % on: {100 * largest_distance(shares):.1f} points")


if __name__ == "__main__":
    main()
