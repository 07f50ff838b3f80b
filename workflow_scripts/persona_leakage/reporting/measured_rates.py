"""Rates of this machine: seconds of finished jobs (Snakemake's benchmark files) with the counts that their results record."""

import csv
from collections import defaultdict
from pathlib import Path
from statistics import mean

from persona_leakage.config.experiment import check_experiment, read_config
from persona_leakage.config.old_keys import with_new_keys
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json
from persona_leakage.infrastructure.provenance import hardware
from persona_leakage.reporting.cost_plan import Sizes

MADE_HERE = 0.9  # a job that took less than this share of the time its result records has not made that result
OF_A_MODEL = (
    *("fetch_model", "train_", "sample_", "extract_", "measure_divergence", "teacher_force"),
    *("score_choices", "score_base_choices"),
)


def measured_rates(model, entry):
    """{stage: {"tokens_per_second", "start_seconds", "jobs", "machine"}} from the experiments under results/ with the model of that name.

    entry: the model's entry of rates.yaml, or its estimate. Stages as there: sample_{engine}, train, centroids, other (without tokens);
    and options, of jobs that score multiple-choice items.
    """
    found = defaultdict(list)  # {stage: [(tokens, seconds at work, seconds of the whole job, meta)]}
    for record in sorted(Path("results").glob("*/run_config.yaml")):
        home, benchmarks = record.parent, Path("benchmarks") / record.parent.name
        try:
            config = with_new_keys(read_config(record)["config"])
            found["other"] += [(0, 0, seconds, None) for seconds in other_jobs(benchmarks)]
            if config["model"]["name"] == model:
                for stage, job in [*sampling_jobs(home, benchmarks), *training_jobs(home, benchmarks)]:
                    found[stage].append(job)
                for stage, job in reading_jobs(config, home, benchmarks, entry):
                    found[stage].append(job)
        except (InputError, KeyError, TypeError, AttributeError, ValueError, OSError):
            continue  # results of another version, or unfinished ones: nothing to learn from
    return {stage: summarise(jobs) for stage, jobs in found.items() if jobs}


def summarise(jobs):
    """The rate of a stage's jobs; start_seconds is the mean of what is not work at tokens."""
    tokens, working = sum(job[0] for job in jobs), sum(job[1] for job in jobs)
    rate = {"start_seconds": max(0.0, mean(job[2] - job[1] for job in jobs)), "jobs": len(jobs), "machine": machine(jobs[-1][3])}
    return {**rate, "tokens_per_second": tokens / working} if working else rate


def machine(meta):
    """What the job ran on, in words."""
    facts = (meta or {}).get("hardware") or hardware()
    return facts.get("gpu") or f"{facts['processor']}, {facts['cores']} cores"


def seconds_of(benchmark):
    """Seconds of a job; None without a benchmark file, or if it is no such file."""
    try:
        with benchmark.open(encoding="utf-8", newline="") as lines:
            return sum(float(row["s"]) for row in csv.DictReader(lines, delimiter="\t")) or None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def made_here(seconds, meta):
    """Whether a job of this many seconds made this result on this machine (any machine of this folder, if that has a GPU)."""
    here, found = hardware(), meta["hardware"]
    if not found.get("gpu") and any(found.get(key, here[key]) != here[key] for key in ("processor", "cores")):
        return False
    return seconds is not None and seconds >= MADE_HERE * meta["wall_seconds"]


def sampling_jobs(home, benchmarks):
    """(stage, job) of the training pool and of every job that sampled replies; kept replies do not count."""
    pairs = [(benchmarks / "sample_training_pool.tsv", home / "training/pool.json")]
    for meta in sorted((home / "evaluation").glob("**/completions.json")):
        state = meta.parent.relative_to(home / "evaluation")
        pairs.append((benchmarks / f"sample_completions/{state}.tsv", meta))
    for benchmark, path in pairs:
        if path.is_file():
            meta = read_json(path)["meta"]
            tokens, sampling = (meta.get("sampled", {}).get(key, 0) for key in ("tokens", "seconds"))
            seconds = seconds_of(benchmark)
            if tokens and sampling and made_here(seconds, meta):
                working = meta["sampled"].get("engine_seconds", sampling)  # a job may use several engines at once
                yield f"sample_{meta['engine']['name']}", (tokens, working, seconds - sampling + working, meta)


def training_jobs(home, benchmarks):
    """(stage, job) of every adapter that was trained without interruption."""
    for path in sorted((home / "training").glob("*/seed*/metrics.json")):
        metrics = read_json(path)
        seconds = seconds_of(benchmarks / "train_adapter" / path.parent.relative_to(home / "training").with_suffix(".tsv"))
        if not metrics["resumed_from_step"] and metrics["train_seconds"] and made_here(seconds, metrics["meta"]):
            yield "train", (metrics["tokens"], metrics["train_seconds"], seconds, metrics["meta"])


def reading_jobs(config, home, benchmarks, entry):
    """(stage, job) of jobs that took the hidden states of every prompt or scored every item; their tokens are those that a plan counts."""
    personas, question_sets = check_experiment(config, str(home / "run_config.yaml"))
    sizes = Sizes(config, personas, question_sets, entry)
    read = [("centroids", f"extract_centroids/{path.parts[-3]}", path) for path in (home / "geometry").glob("*/base/centroids.json")]
    for path in (home / "evaluation").rglob("cells.json") if sizes.items else ():
        state = path.parent.relative_to(home / "evaluation")
        read.append(("options", f"score_choices/{state}", path))
    for stage, name, path in sorted(read):
        log = Path("logs") / home.name / f"{name}.log"
        seconds, meta = seconds_of(benchmarks / f"{name}.tsv"), read_json(path)["meta"]
        whole = log.is_file() and "kept from earlier" not in log.read_text(encoding="utf-8", errors="replace")
        if whole and made_here(seconds, meta):
            yield stage, (sizes.option_tokens() if stage == "options" else sizes.centroid_tokens(), seconds, seconds, meta)


def other_jobs(benchmarks):
    """Seconds of the jobs without a model."""
    for path in sorted(benchmarks.rglob("*.tsv")):
        rule = path.relative_to(benchmarks).parts[0].removesuffix(".tsv")
        if not rule.startswith(OF_A_MODEL) and (seconds := seconds_of(path)):
            yield seconds
