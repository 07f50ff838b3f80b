"""Plan the size of a study: interval width and power by personas, sources, questions, replies and seeds."""

import argparse
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import atomic_path, write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.statistics.prediction.power import GUESSES, Design, describe_design, read_guesses

SIZES = {"personas": [29, 110], "sources": [3, 5, 10, 20, 40], "questions": [20], "replies": [1, 10], "seeds": [1]}
LEAST = {"personas": 5, "sources": 2}
HEADERS = ["personas", "sources", "questions", "replies", "seeds", "expected rho", "mean", "power, %", "a new source", "power, %"]


def main(argv=None):
    """Print a table, and write it as power.csv and power.json."""
    parser = argparse.ArgumentParser(prog="plan_power", description=__doc__)
    origin = parser.add_mutually_exclusive_group()
    origin.add_argument("--guesses", default=str(GUESSES), metavar="PATH", help="YAML file with variance components (default: %(default)s)")
    origin.add_argument("--study", metavar="FOLDER", help="a finished study to estimate them from")
    for name, values in SIZES.items():
        parser.add_argument(
            f"--{name}", nargs="+", type=partial(size, LEAST.get(name, 1)), default=values, metavar="N", help=f"(default: {values})"
        )
    parser.add_argument("--output-folder", default="results/power", metavar="PATH", help="(default: %(default)s)")
    args = parser.parse_args(argv)
    components = read_components(args)
    rows = []
    for sizes in product(*(getattr(args, name) for name in SIZES)):
        design = Design(**dict(zip(SIZES, sizes, strict=True)))
        rows.append({**asdict(design), **describe_design(components, design)})
    folder = Path(args.output_folder)
    with atomic_path(folder / "power.csv") as temporary:
        pd.DataFrame([flat(row) for row in rows]).to_csv(temporary, index=False, lineterminator="\n")
    source = args.study or args.guesses
    content = {"from": source, "components": asdict(components), "designs": rows}
    write_json(folder / "power.json", {"meta": describe_run("plan_power"), **content})
    print(f"Variance components of {source}: " + ", ".join(f"{key} {value:.3g}" for key, value in asdict(components).items()))
    print(tabulate([as_text(row) for row in rows], headers=HEADERS, disable_numparse=True, stralign="right"))
    print("\nmean: 95 % interval of the mean correlation (from 5 sources on). a new source: of the correlation of one more.")
    print(f"written: {folder}/power.json, {folder}/power.csv")


def size(least, text):
    """A whole number from ``least`` on."""
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text} must be a whole number, at least {least}")
    return int(text)


def read_components(args):
    """The Components of the options."""
    if not args.study:
        return read_guesses(args.guesses)
    from persona_leakage.statistics.prediction.power_components import estimate_components
    from persona_leakage.statistics.prediction.study import read_study

    return estimate_components(read_study(args.study))


def flat(row):
    """A row with the ends of its intervals as columns."""
    found = {key: value for key, value in row.items() if not key.endswith("_interval")}
    for name in ("mean", "new_source"):
        low, high = row[f"{name}_interval"] or (None, None)
        found |= {f"{name}_low": low, f"{name}_high": high}
    return found


def as_text(row):
    """Cells of the printed table."""
    cells = [*(row[name] for name in SIZES), f"{row['rho']:.2f}"]
    for name in ("mean", "new_source"):
        interval, power = row[f"{name}_interval"], row[f"{name}_power"]
        cells += ["[{:.2f}, {:.2f}]".format(*interval), f"{100 * power:.0f}"] if interval else ["-", "-"]
    return cells


if __name__ == "__main__":
    run_program(main)
