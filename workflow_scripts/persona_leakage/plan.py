"""The plan of an experiment: its jobs, their tokens and hours, what is kept, the disk."""

from dataclasses import dataclass
from pathlib import Path

from snakemake.utils import update_config

from persona_leakage.config_files import config_layers, resolve_config
from persona_leakage.experiment import check_experiment, read_config
from persona_leakage.files import read_json
from persona_leakage.kept_replies import replies_to_sample
from persona_leakage.measured_rates import measured_rates
from persona_leakage.planned_jobs import count_rules, kept_jobs, planned_jobs
from persona_leakage.planning import Sizes, plan_disk, plan_jobs
from persona_leakage.rates import DEFAULT_HARDWARE, Rates

ROOT = Path(__file__).resolve().parents[2]


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


def make_plan(config_path, hardware=None, everything=False, measure=True):
    """The Plan of what would run now, or of every job; InputError if the config or Snakemake refuses.

    hardware: an entry of rates.yaml whose rates are taken alone. Without it, rates of this machine come first; not so if ``measure`` is
    false, to set a plan beside the jobs that it would learn from.
    """
    config = read_config(ROOT / "config.yaml")
    update_config(config, read_config(config_path))
    resolve_config(config, config_layers([ROOT / "config.yaml", config_path]))
    personas, question_sets = check_experiment(config, config_path)
    name = config["model"]["name"]
    rates = Rates(ROOT / "resources/rates.yaml", hardware or DEFAULT_HARDWARE[config["engine"]["name"]], name, config["model"])
    planned = planned_jobs(config_path, everything)
    kept = [] if everything else kept_jobs(planned)
    jobs = [job for job in planned if job not in kept]
    engine = config["engine"]
    if measure and hardware is None:
        rates.measured = measured_rates(name, rates.model)
        engine = engine | {"name": engine_of(engine["name"], rates.measured)}
    rates.model = rates.model | {"replies": [*measured_replies(config), *rates.model["replies"]]}
    sizes = Sizes(config, personas, question_sets, rates.model)
    sampling = {} if everything else replies_to_sample(config, personas, question_sets, jobs)
    lines = plan_jobs(config | {"engine": engine}, count_rules(jobs), sizes, rates.rate, rates.hardware["gpu"], sampling)
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
