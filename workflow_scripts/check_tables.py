"""Check archives of tables (make tables): every file's digest, and correlation.json recomputed from its tables.

No rule calls this program.
"""

import argparse
import json
import tempfile
from contextlib import redirect_stdout
from itertools import product
from pathlib import Path

import correlate_leakage

from persona_leakage.config.blocks.analysis import Statistics
from persona_leakage.config.personas import read_yaml
from persona_leakage.infrastructure.cli import InputError, run_program
from persona_leakage.infrastructure.files import read_json
from persona_leakage.publishing.archive import check_copies, differences

NEWER = ("categories", "interval_if_independent")  # keys that correlation.json of older versions lacks


def main(argv=None):
    """Print what was checked; exit code 1 and the file's name if something differs."""
    parser = argparse.ArgumentParser(prog="check_tables", description=__doc__)
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="such as docs/results/smollm2")
    for folder in map(Path, parser.parse_args(argv).folders):
        files = check_copies(folder)
        config = read_yaml(folder / "run_config.yaml")["config"]
        tables = product([use["set"] for use in config["questions"]["evaluation"]], config["training"]["seeds"])
        homes = [folder / f"analysis/{questions}/seed{seed}" for questions, seed in tables]
        homes = [home for home in homes if (home / "correlation.json").is_file()]  # else the archive does not list it
        for home in homes:
            check_correlation(home, config)
        print(f"{folder}: {files} files unchanged, {len(homes)} correlation.json reproduced")


def check_correlation(home, config):
    """InputError unless correlate_leakage.py reproduces correlation.json from the tables in ``home``, up to rounding."""
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "correlation.json"
        options = {name: config["analysis"][name] for name in Statistics.model_fields}
        settings = json.dumps({"headline_layer": config["geometry"]["headline_layer"], **options})
        tables = [f"--{name.replace('_', '-')}={home / name}.csv" for name in ("pairs", "cosines", "question_counts")]
        with (Path(scratch) / "log").open("w") as log, redirect_stdout(log):
            correlate_leakage.main([f"--output={output}", f"--settings={settings}", *tables, f"--tables={home / 'tables.json'}"])
        new, archived = read_json(output), read_json(home / "correlation.json")
    if keys := list(differences(without_newer({**new, "meta": None}, archived), {**archived, "meta": None})):
        raise InputError(f"{home / 'correlation.json'}: recomputed from its tables, {len(keys)} values differ, first {keys[0]}")


def without_newer(new, archived):
    """``new`` without the keys of NEWER that ``archived`` lacks in the same block."""
    if not (isinstance(new, dict) and isinstance(archived, dict)):
        return new
    return {key: without_newer(value, archived.get(key)) for key, value in new.items() if key in archived or key not in NEWER}


if __name__ == "__main__":
    run_program(main)
