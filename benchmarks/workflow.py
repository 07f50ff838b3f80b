"""The workflow around the programs: time to parse, overhead of a job; and the programs that read tables alone, at the study's size."""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import ROOT, about, spread
from persona_leakage.infrastructure.files import read_json, write_json

sys.path.insert(0, str(ROOT))

from tests.conftest import make_tiny_model, make_tiny_project
from tests.support.made_up_results import make_results

REPEATS = 3
PAIRS = ROOT / "tests/data/published_pairs.csv"


def clock(command, cwd):
    """Seconds that a command takes; RuntimeError with its output if it fails."""
    started = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stdout)
    return time.perf_counter() - started


def measure_workflow(folder):
    """Parse time, and the overhead of a job: a tiny experiment's wall time without that of its jobs' commands, over its jobs."""
    (folder / "model").mkdir()
    make_tiny_model(folder / "model")
    project = make_tiny_project(folder / "project", folder / "model")
    snakemake = [sys.executable, "-m", "snakemake", "--cores", "1"]
    whole = clock(snakemake, project.folder)
    seconds = [job_seconds(path) for path in (project.folder / "benchmarks").rglob("*.tsv")]
    return {
        "jobs": len(seconds),
        "overhead_seconds_per_job": (whole - sum(seconds)) / len(seconds),
        "mean_job_seconds": sum(seconds) / len(seconds),
        "dry_run_seconds": spread([clock([*snakemake, "-n", "--quiet", "rules"], project.folder) for _ in range(REPEATS)]),
    }


def job_seconds(path):
    """Wall seconds of a job's command, from Snakemake's benchmark file."""
    header, values = (line.split("\t") for line in path.read_text().splitlines()[:2])
    return float(values[header.index("s")])


def measure_tables(folder):
    """{program: seconds} on the published study's table (4 layers, 5 sources, 111 personas) and on 5 x 22,200 made-up replies."""
    home = folder / "results/made_up"
    make_results(home)
    scripts = ROOT / "workflow_scripts"
    table = ["--pairs", PAIRS, "--headline-layer", "20"]
    figures = ("scatter", "category_scatter", "category_rates", "heat_map", "layers")
    correlation = ["--correlation", folder / "correlation.json"]
    page = ["--output", home / "report/index.html", "--facts", home / "report/facts.json"]
    inputs = ["--settings", "{}", "--results", home, "--benchmarks", home / "none", "--personas", ROOT / "resources/personas.yaml"]
    commands = {
        "correlate_leakage": ["correlate_leakage.py", *table, "--output", folder / "correlation.json"],
        **{f"plot_{name}": ["plot_figure.py", name, *arguments_of(name, table, correlation), folder / f"{name}.png"] for name in figures},
        "build_report": ["build_report.py", *inputs, "--published", ROOT / "resources/published.json", *page],
    }
    return {
        name: spread([clock([sys.executable, scripts / command[0], *map(str, command[1:])], ROOT) for _ in range(REPEATS)])
        for name, command in commands.items()
    }


def arguments_of(figure, table, correlation):
    """Inputs of a figure, up to its output."""
    inputs = {"layers": correlation, "category_rates": correlation, "heat_map": table[:2]}
    return [*inputs.get(figure, table), "--output"]


def main():
    """Write workflow's and tables' times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", required=True, help="JSON file to write")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workflow, tables = measure_workflow(folder), measure_tables(folder)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    write_json(args.output, {"stage": "workflow", "workflow": workflow, "tables": tables, "peak_memory_bytes": memory, **about()})
    print(read_json(args.output)["workflow"], flush=True)


if __name__ == "__main__":
    main()
