"""Training recipes at equal strength of the source, from the tables along training of finished experiments."""

from pathlib import Path

import pandas as pd
from tabulate import tabulate

from persona_leakage.config.program_options import new_parser
from persona_leakage.infrastructure.cli import InputError, run_program
from persona_leakage.infrastructure.files import atomic_path, check_is_file, sha256_of_file, write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.statistics.comparisons.along_training import compare_recipes

COLUMNS = {"source", "step", "own_gain", "mean_gain", "share", "rho"}


def read_table(path):
    """A checked along_training.csv."""
    check_is_file(path)
    table = pd.read_csv(path)
    if missing := sorted(COLUMNS - {*table.columns}):
        raise InputError(f"{path}: no along_training.csv; it lacks {', '.join(missing)}")
    return table


def main(argv=None):
    """Print the comparison; write recipes.json and recipes.csv (a row per source, recipe and strength)."""
    parser = new_parser("check_recipes", __doc__)
    parser.add_argument(
        "tables", nargs="+", metavar="NAME=PATH", help="a recipe's name and its along_training.csv; the first is the reference"
    )
    parser.add_argument("--output-folder", required=True, metavar="PATH")
    args = parser.parse_args(argv)
    pairs = [text.partition("=") for text in args.tables]
    if wrong := [name for name, sign, path in pairs if not (name and sign and path)]:
        parser.error(f"{wrong[0]}: must be NAME=PATH")
    paths = {name: path for name, _, path in pairs}
    if len(paths) < len(pairs):
        parser.error("two recipes have the same name")
    found = compare_recipes({name: read_table(path) for name, path in paths.items()})
    folder, table = Path(args.output_folder), found.pop("table")
    with atomic_path(folder / "recipes.csv") as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    files = {name: sha256_of_file(path) for name, path in paths.items()}
    write_json(folder / "recipes.json", {"meta": describe_run("check_recipes", files=files), "unit": "nats", **found})
    print(tabulate(table, headers="keys", showindex=False, floatfmt=".2f", tablefmt="github"))
    titles = {
        "rho_at_half": "rho at half of the common own gain",
        "last_less_first": "bystanders' share of the own gain, last less first step",
        "differences": f"mean bystander gain less that of {next(iter(paths))}, at the common own gain",
    }
    for key, title in titles.items():
        print(f"\n{title}")
        for name, block in found[key].items():
            p = "" if block.get("p_holm") is None else f", p = {block['p_holm']:.2g} (Holm)"
            print(f"  {name}: {number(block['mean'])} {span(block['interval'])}{p}")
    print(f"\nwritten: {folder}/recipes.json, {folder}/recipes.csv")


def number(value):
    """Two decimals with a sign."""
    return "undefined" if value is None else f"{value:+.2f}"


def span(interval):
    """ "[low, high]", or nothing."""
    return "[{:.2f}, {:.2f}]".format(*interval) if interval else ""


if __name__ == "__main__":
    run_program(main)
