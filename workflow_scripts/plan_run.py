"""Print what a config's run costs (jobs, tokens, hours, disk) without running it; with --used, what it then took."""

import argparse
import csv
import re
import subprocess
import sys
from pathlib import Path

from snakemake.utils import update_config
from tabulate import tabulate

from persona_leakage.config_files import config_layers, resolve_config
from persona_leakage.errors import InputError, run_program
from persona_leakage.experiment import adapter_jobs, check_experiment, job_file, read_config
from persona_leakage.planning import Sizes, plan_disk, plan_jobs
from persona_leakage.rates import DEFAULT_HARDWARE, Rates

ROOT = Path(__file__).resolve().parents[1]


def main(argv=None):
    """Print the plan of the jobs that would run now (--all: of all jobs), and where each figure comes from."""
    parser = argparse.ArgumentParser(prog="plan_run", description=__doc__)
    parser.add_argument("--config", default="config.yaml", metavar="PATH", help="the experiment's config (default: %(default)s)")
    parser.add_argument("--hardware", help="an entry of resources/rates.yaml (default: h200 with engine.name: vllm, else cpu2)")
    parser.add_argument("--all", action="store_true", help="plan every job, also those whose results are there")
    parser.add_argument("--used", action="store_true", help="beside every job's plan, what jobs of the experiment of this name took")
    args = parser.parse_args(argv)
    config = read_config(ROOT / "config.yaml")
    update_config(config, read_config(args.config))
    resolve_config(config, config_layers([ROOT / "config.yaml", args.config]))
    personas, question_sets = check_experiment(config, args.config)
    rates = Rates(ROOT / "resources/rates.yaml", args.hardware or DEFAULT_HARDWARE[config["engine"]["name"]], config["model"]["name"])
    sizes = Sizes(config, personas, question_sets, rates.model)
    lines = plan_jobs(config, planned_jobs(args.config, args.all or args.used), sizes, rates.rate, rates.hardware["gpu"])
    disk = plan_disk(config, sizes, rates.bytes_per_token)
    print(f"{config['experiment']}: {config['model']['name']} on {rates.hardware['name']}\n")
    if not lines:
        print("nothing to be done")
        return
    (print_used if args.used else print_plan)(config, sizes, rates, lines, disk)


def planned_jobs(config_path, everything):
    """{rule: number of jobs} of a dry run; InputError with Snakemake's own words if it fails."""
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "--configfile", str(config_path)]
    done = subprocess.run(command + ["--forceall"] * everything, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"{config_path}: snakemake cannot plan it\n{done.stdout}{done.stderr}")
    table = re.search(r"^job +count\n[- ]+\n(.*?)^total", done.stdout, re.M | re.S)
    counts = re.findall(r"^(\w+) +(\d+)$", table[1], re.M) if table else []
    return {rule: int(count) for rule, count in counts if rule != "all"}


def print_plan(config, sizes, rates, lines, disk):
    """The table of jobs, its sums, the disk, and the sources of the figures."""
    rows = [[line.rule, line.jobs, f"{line.tokens:,}" if line.tokens else "", hours(line.hours)] for line in lines]
    print(tabulate(rows, ["rule", "jobs", "tokens", "hours"], colalign=("left", "right", "right", "right"), disable_numparse=True))
    generated = sum(line.tokens for line in lines if line.rule.startswith("sample"))
    trained = sum(line.tokens for line in lines if line.rule == "train_adapter")
    print(f"\ntokens generated: {generated:,}   tokens trained on: {trained:,}")
    if all(line.hours is not None for line in lines):
        total, on_gpu = (sum(line.hours for line in lines if line.gpu or every) for every in (True, False))
        if rates.hardware["gpu"]:
            print(f"GPU-hours: {on_gpu:.2f}   hours of all jobs one after the other: {total:.2f}")
        else:
            at_once = rates.hardware["jobs_at_once"]
            print(f"hours of all jobs: {total:.2f}   of the run, {at_once} jobs at once: {total / at_once:.2f}")
    else:
        print(f"hours: no measured rate for {config['model']['name']} on this hardware (resources/rates.yaml)")
    print("disk: " + ", ".join(f"{what} {size(amount)}" for what, amount in disk.items()) + f"; together {size(sum(disk.values()))}")
    print("\nreplies: {:g} tokens ({})".format(*sizes.reply(config["evaluation"]["sampling"])))
    for source in rates.sources():
        print(f"rates: {source}")


def print_used(config, sizes, rates, lines, disk):
    """Plan against what benchmarks/ and results/ hold, rule by rule; together: of the rules that have run."""
    used_by = {line.rule: used_hours(config, line.rule) for line in lines}
    rows = [[line.rule, line.jobs, hours(line.hours), hours(used_by[line.rule]), ratio(line.hours, used_by[line.rule])] for line in lines]
    done = [line for line in lines if used_by[line.rule] is not None]
    planned, used = sum(line.hours or 0 for line in done), sum(used_by[line.rule] for line in done)
    rows.append(["together", sum(line.jobs for line in done), hours(planned), hours(used), ratio(planned, used)])
    headers = ["rule", "jobs", "hours planned", "hours used", "planned / used"]
    print(tabulate(rows, headers, colalign=("left", *["right"] * 4), disable_numparse=True))
    planned, used = sum(disk.values()), used_bytes(config)
    print(f"\ndisk planned: {size(planned)}   used: {size(used)}   planned / used: {ratio(planned, used)}")


def used_hours(config, rule):
    """Hours of a rule's jobs in the benchmark files of the experiment; None without any."""
    home = Path("benchmarks") / config["experiment"]
    sampling = {f"sample_{job}": states for job, states in adapter_jobs(config).items()}
    if rule == "fetch_model":
        files = [Path("benchmarks/fetch_model") / f"{config['model']['name']}.tsv"]
    elif rule in ("sample_base_completions", "score_base_leakage", "sample_base_variants"):
        files = home.glob(f"{rule.replace('_base', '')}/*/base.tsv")
    elif rule in sampling and len(sampling) > 1:
        files = home.glob(f"sample_completions/*/{job_file(rule.removeprefix('sample_'), sampling[rule])}.tsv")
    else:
        found = [home / f"{rule}.tsv", *home.glob(f"{rule}/**/*.tsv")]
        files = [path for path in found if path.name != "base.tsv" or rule in ("extract_centroids", "extract_sweep", "measure_divergence")]
    seconds = [float(row["s"]) for path in files if path.is_file() for row in csv.DictReader(path.open(), delimiter="\t")]
    return sum(seconds) / 3600 if seconds else None


def used_bytes(config):
    """Bytes of the experiment's results and of its model."""
    folders = [Path("results") / config["experiment"], Path("resources/models") / config["model"]["name"]]
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


def hours(value):
    """Hours as text, "?" if unknown."""
    return "?" if value is None else f"{value:.3f}"


def ratio(planned, used):
    """planned / used as text, "" if one is missing."""
    return f"{planned / used:.2f}" if planned and used else ""


def size(amount):
    """Bytes as text."""
    return f"{amount / 1e9:.2f} GB" if amount >= 1e9 else f"{amount / 1e6:.1f} MB"


if __name__ == "__main__":
    run_program(main)
