"""The jobs that Snakemake would run, one by one, from the text of a dry run."""

import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass

from persona_leakage.errors import InputError

BLOCK = re.compile(r"^(?:local)?rule (\w+):\n((?:    .*\n)+)", re.M)
FIELD = re.compile(r"^    (output|benchmark|wildcards|reason): (.*)$", re.M)


@dataclass(frozen=True)
class PlannedJob:
    """A job of a dry run: its rule, {wildcard: value}, the paths of its outputs and of its benchmark file, why it runs ("" without)."""

    rule: str
    wildcards: dict
    outputs: tuple
    benchmark: str = ""
    reason: str = ""


def planned_jobs(config_path, everything=False):
    """[PlannedJob] of a dry run with this config file, or of all jobs; InputError with Snakemake's own words if it fails.

    It takes no lock, so that it works beside a run.
    """
    command = [sys.executable, "-m", "snakemake", "-n", "--nolock", "--quiet", "host", "progress", "--configfile", str(config_path)]
    done = subprocess.run(command + ["--forceall"] * everything, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"{config_path}: snakemake cannot plan it\n{done.stdout}{done.stderr}")
    return parse_jobs(done.stdout + done.stderr)


def parse_jobs(text):
    """[PlannedJob] of what a dry run printed; targets, which have no outputs, are left out."""
    jobs = []
    for rule, block in BLOCK.findall(text):
        fields = dict(FIELD.findall(block))
        if "output" in fields:
            wildcards = dict(re.findall(r"(\w+)=([^,]*)", fields.get("wildcards", "")))
            outputs = tuple(fields["output"].split(", "))
            jobs.append(PlannedJob(rule, wildcards, outputs, fields.get("benchmark", ""), fields.get("reason", "")))
    return jobs


def count_rules(jobs):
    """{rule: number of jobs}."""
    return dict(Counter(job.rule for job in jobs))
