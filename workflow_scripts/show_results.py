"""Print an experiment's closing tables and where its files are."""

import argparse
from itertools import product
from pathlib import Path

from persona_leakage.errors import InputError, run_program
from persona_leakage.experiment import read_config
from persona_leakage.personas import read_yaml
from persona_leakage.results_table import TRAINING_HEADERS, as_text, result_lines, training_check
from persona_leakage.training_check import NONE_LEARNED
from persona_leakage.verdict import verdict_lines


def main(argv=None):
    """Read results/{experiment}/run_config.yaml and the small result files; print."""
    parser = argparse.ArgumentParser(prog="show_results", description=__doc__)
    parser.add_argument("--config", default="config.yaml", metavar="PATH", help="the experiment's config (default: %(default)s)")
    args = parser.parse_args(argv)
    chosen, default = read_config(args.config), read_config(Path(__file__).parents[1] / "config.yaml")
    home = Path("results") / {**default, **chosen}["experiment"]
    if not (home / "run_config.yaml").is_file():
        raise InputError(f"{home}: no finished run; start it with snakemake --cores all --configfile {args.config}")
    config = read_yaml(home / "run_config.yaml")["config"]
    runs = list(product([use["set"] for use in config["questions"]["evaluation"]], config["training"]["seeds"]))
    warnings = []
    for (questions, seed), (title, lines, verdict) in zip(runs, result_lines(config, home), strict=True):
        checked, found = training_check(home, questions, seed)
        print(f"\n{title}\n\nDid training work? (own replies of each source)")
        print(as_text(checked, TRAINING_HEADERS))
        print("\nLeakage (replies of all personas)")
        print(as_text(lines))
        print("\nWhat these data support (docs/statistics.md; the numbers behind it: verdict in correlation.json)")
        print("\n".join(answers(verdict)))
        warnings += [sentence if len(runs) == 1 else f"{questions}, seed {seed}: {sentence}" for sentence in found]
    print(f"\nReplies under 12 tokens count as short. Figures: {home}/figures/  Tables: {home}/analysis/  Everything else: {home}/")
    print(f"Report, open it in a browser: {home}/report/index.html")
    if warnings:
        print("\nTraining did not work everywhere (* in the table):\n" + "\n".join(f"- {sentence}" for sentence in warnings))


def answers(verdict):
    """A line for each question, or one for all of them where no adapter learned the marker."""
    if all(entry["because"] == NONE_LEARNED for entry in verdict):
        return [f"{verdict[0]['answer']:>14}: {NONE_LEARNED}"]
    return verdict_lines(verdict)


if __name__ == "__main__":
    run_program(main)
