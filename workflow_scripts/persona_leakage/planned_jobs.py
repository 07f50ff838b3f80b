"""The jobs that Snakemake would run, one by one, from the text of a dry run, and those whose outputs are kept already."""

import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass

from persona_leakage.errors import InputError
from persona_leakage.finished_work import LISTING, finished_folder, kept_files

BLOCK = re.compile(r"^(?:local)?rule (\w+):\n((?:    [^\n]*\n)+)(?:Shell command:(.*?)2>&1 \| tee )?", re.M | re.S)
STORE = "results/.kept"
FIELD = re.compile(r"^    (output|benchmark|wildcards|reason): (.*)$", re.M)


@dataclass(frozen=True)
class PlannedJob:
    """A job of a dry run: its rule, {wildcard: value}, the paths of its outputs and of its benchmark file, why it runs ("" without).

    described: what reuse_finished.py is told of it, as JSON; "" for a job that it does not start.
    """

    rule: str
    wildcards: dict
    outputs: tuple
    benchmark: str = ""
    reason: str = ""
    described: str = ""


def planned_jobs(config_path, everything=False):
    """[PlannedJob] of a dry run with this config file, or of all jobs; InputError with Snakemake's own words if it fails.

    It takes no lock, so that it works beside a run.
    """
    command = [sys.executable, "-m", "snakemake", "-n", "-p", "--nolock", "--quiet", "host", "progress", "--configfile", str(config_path)]
    done = subprocess.run(command + ["--forceall"] * everything, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"{config_path}: snakemake cannot plan it\n{done.stdout}{done.stderr}")
    return parse_jobs(done.stdout + done.stderr)


def parse_jobs(text):
    """[PlannedJob] of what a dry run printed; targets, which have no outputs, are left out."""
    jobs = []
    for rule, block, command in BLOCK.findall(text):
        fields = dict(FIELD.findall(block))
        if "output" in fields:
            wildcards = dict(re.findall(r"(\w+)=([^,]*)", fields.get("wildcards", "")))
            outputs = tuple(fields["output"].split(", "))
            jobs.append(PlannedJob(rule, wildcards, outputs, fields.get("benchmark", ""), fields.get("reason", ""), description(command)))
    return jobs


def description(command):
    """The option --job of a shell command, "" without."""
    words = shlex.split(command.replace("\\\n", " ")) if "--job " in command else []
    return words[words.index("--job") + 1] if "--job" in words else ""


def kept_jobs(jobs, store=STORE):
    """Those of ``jobs`` whose outputs come back from the store, as far as it can be told before anything runs.

    Of a job behind one that computes, nothing can: its inputs are not known yet.
    """
    unknown = {path for job in jobs for path in job.outputs}
    waiting, kept, places = [(job, json.loads(job.described)) for job in jobs if job.described], [], {}
    while True:
        found = [(job, *entry) for job, details in waiting if (entry := kept_outputs(details, unknown, places, store))]
        if not found:
            return kept
        for job, paths, content in found:
            kept.append(job)
            unknown -= set(paths)
            places |= zip(paths, content, strict=True)
        waiting = [(job, details) for job, details in waiting if job not in kept]


def kept_outputs(details, unknown, places, store):
    """(paths of a job's outputs, where the store has them), or None if it has not, or an input is unknown."""
    if unknown & {path for paths in details["inputs"].values() for path in paths}:
        return None
    try:
        folder = finished_folder(store, details, places)
    except OSError:
        return None
    return (details["outputs"], kept_files(folder, details["outputs"])) if (folder / LISTING).is_file() else None


def count_rules(jobs):
    """{rule: number of jobs}."""
    return dict(Counter(job.rule for job in jobs))
