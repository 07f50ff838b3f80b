"""Check folders of kept tables (make tables): digests, counts against scores, and correlation.json computed again from its tables."""

import argparse
import json
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

from persona_leakage.config.blocks.analysis import Statistics
from persona_leakage.config.personas import read_yaml
from persona_leakage.infrastructure.cli import InputError, run_program
from persona_leakage.infrastructure.files import read_json
from persona_leakage.publishing.archive import check_copies, check_counts, differences

NEWER = ("training_check", "categories", "interval_if_independent")  # keys that correlation.json of older versions lacks


def main(argv=None):
    """Print what was checked; exit code 1 and the file's name if something is not as it was kept."""
    parser = argparse.ArgumentParser(prog="check_tables", description=__doc__)
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="such as docs/results/default")
    for folder in parser.parse_args(argv).folders:
        files = check_copies(folder)
        config = read_yaml(Path(folder) / "run_config.yaml")["config"]
        tables = list(product([use["set"] for use in config["questions"]["evaluation"]], config["training"]["seeds"]))
        lines = sum(check_counts(folder, questions, seed) for questions, seed in tables)
        for questions, seed in tables:
            check_correlation(Path(folder), config, questions, seed)
        print(f"{folder}: {files} files as they were kept, {lines} counts as scored, {len(tables)} correlation.json computed again")


def check_correlation(folder, config, questions, seed):
    """InputError unless correlate_leakage.py makes the kept correlation.json of the kept tables, up to rounding."""
    home = folder / f"analysis/{questions}/seed{seed}"
    options = {name: config["analysis"][name] for name in Statistics.model_fields}
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "correlation.json"
        command = [sys.executable, Path(__file__).with_name("correlate_leakage.py"), "--output", output]
        command += ["--settings", json.dumps({"headline_layer": config["geometry"]["headline_layer"], **options})]
        command += ["--pairs", home / "pairs.csv", "--cosines", home / "cosines.csv"]
        command += ["--question-counts", home / "question_counts.csv", "--tables", home / "tables.json"]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise InputError(f"{home / 'correlation.json'}: cannot be computed again: {done.stderr.strip()}")
        found, kept = read_json(output), read_json(home / "correlation.json")
    places = list(differences(without_newer({**found, "meta": None}, kept), {**kept, "meta": None}))
    if places:
        raise InputError(f"{home / 'correlation.json'}: computed again, {len(places)} values differ, the first is {places[0]}")


def without_newer(found, kept):
    """``found`` without the keys of NEWER that ``kept`` lacks at the same position."""
    if not (isinstance(found, dict) and isinstance(kept, dict)):
        return found
    return {key: without_newer(value, kept.get(key)) for key, value in found.items() if key in kept or key not in NEWER}


if __name__ == "__main__":
    run_program(main)
