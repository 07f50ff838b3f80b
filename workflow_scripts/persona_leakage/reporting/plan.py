"""The jobs that Snakemake would run, from the text of a dry run, and which of their outputs are kept already."""

import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from snakemake.utils import update_config

from persona_leakage.config.config_parts import config_layers, resolve_config
from persona_leakage.config.experiment import check_experiment, complete_config, read_config
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json
from persona_leakage.infrastructure.finished_work import LISTING, finished_folder, kept_files
from persona_leakage.reporting.cost_plan import Sizes, plan_disk, plan_jobs
from persona_leakage.reporting.kept_replies import replies_to_sample
from persona_leakage.reporting.measured_rates import measured_rates
from persona_leakage.reporting.rates import DEFAULT_HARDWARE, Rates

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

    It takes no lock, so it also works during a run.
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

    Of a job after one that computes, nothing can: its inputs are not known yet.
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


ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Plan:
    """config: merged; jobs: [PlannedJob], those of them that are kept apart; lines: [planning.Line]; sampling: see kept_replies;
    disk: {what: bytes}."""

    config: dict
    jobs: list
    kept: list
    sizes: Sizes
    rates: Rates
    lines: list
    sampling: dict
    disk: dict


def make_plan(config_path, hardware=None, everything=False):
    """The Plan of what would run now, or of every job; InputError if the config or Snakemake refuses.

    hardware: an entry of rates.yaml whose rates are taken alone. Without it, rates of this machine come first.
    """
    config = read_config(ROOT / "config.yaml")
    update_config(config, read_config(config_path))
    resolve_config(config, config_layers([ROOT / "config.yaml", config_path]))
    config = complete_config(config, config_path)
    personas, question_sets = check_experiment(config, config_path)
    name = config["model"]["name"]
    rates = Rates(ROOT / "resources/rates.yaml", hardware or DEFAULT_HARDWARE[config["engine"]["name"]], name, config["model"])
    planned = planned_jobs(config_path, everything)
    kept = [] if everything else kept_jobs(planned)
    jobs = [job for job in planned if job not in kept]
    engine = config["engine"]
    if hardware is None:
        rates.measured = measured_rates(name, rates.model)
        engine = engine | {"name": engine_of(engine["name"], rates.measured)}
    rates.model = rates.model | {"replies": [*measured_replies(config), *rates.model["replies"]]}
    sizes = Sizes(config, personas, question_sets, rates.model)
    sampling = {} if everything else replies_to_sample(config, personas, question_sets, jobs)
    counts = dict(Counter(job.rule for job in jobs))
    lines = plan_jobs(config | {"engine": engine}, counts, sizes, rates.rate, rates.hardware["gpu"], sampling)
    return Plan(config, jobs, kept, sizes, rates, lines, sampling, plan_disk(config, sizes, rates.bytes_per_token))


def engine_of(name, measured):
    """The engine that "auto" has meant on this machine, as far as one is known."""
    used = [stage.removeprefix("sample_") for stage in measured if stage.startswith("sample_")]
    return used[0] if name == "auto" and len(used) == 1 else name


def measured_replies(config):
    """The mean length of the base model's replies in this experiment's finished results, as an entry of a model's replies; [] without."""
    found = []
    for path in sorted(Path("results", config["experiment"], "evaluation").glob("*/base/completions.json")):
        content, record = read_json(path), path.parents[3] / "run_config.yaml"
        then = read_config(record)["config"] if record.is_file() else {}
        meta = content["meta"]
        alike = meta["model"]["name"] == config["model"]["name"] and meta.get("sampling") == config["evaluation"]["sampling"]
        if alike and content["replies"]:
            suffix = then.get("questions", {}).get("suffix")
            origin = f"measured here: {content['replies']} replies in {path.parent}"
            found.append({"suffix": suffix, "mean_tokens": round(content["tokens"] / content["replies"], 1), "from": origin})
    return found
