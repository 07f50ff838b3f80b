"""Print an experiment's closing tables and where its files are, or where a target's files are and how to open them."""

import argparse
import shlex
import sys
from itertools import product
from pathlib import Path

from persona_leakage.behaviours.training_check import NONE_LEARNED
from persona_leakage.config.experiment import read_config
from persona_leakage.config.personas import read_yaml
from persona_leakage.infrastructure.cli import InputError, run_program
from persona_leakage.reporting.closing_table import OUTCOME_HEADERS, TRAINING_HEADERS, as_text, outcome_lines, result_lines, training_check
from persona_leakage.statistics.leakage.conclusions import conclusion_lines
from persona_leakage.statistics.leakage.outcomes import LOGPROB_GAIN

# What make's targets end with, by target.
PLACES = {
    "compare": "Comparison, open it in a browser: results/compare/index.html  As a table: results/compare/comparison.csv",
    "predict": "Predictions, open them in a browser: {home}/predictions/index.html  As a table: {home}/predictions/predictions.csv\n"
    "They are frozen by their digests. After training: make scores",
    "contain": "{text}\nAs a table: {home}/negatives/proposal.csv",
    "scores": "Scores: {home}/predictions/score.json  Figure: {home}/figures/prediction_scores.png",
    "inspect": "Logs for Inspect AI: {home}/inspect/\nOpen them with: {activate}inspect view --log-dir {folder}",
    "paper": "Write-up: {home}/paper/paper.tex  Numbers: {home}/paper/macros.tex  Table for a README: {home}/paper/table.md\n"
    "Compiled where LaTeX is installed: {home}/paper/paper.pdf",
    "tables": "Tables, scores and figures: {home}/published/tables/\n"
    "Check them with: {activate}python workflow_scripts/check_tables.py {folder}",
    "wandb": "Receipts: {home}/published/wandb/  Each names its run, or under to_upload the command that uploads an offline one.",
    "hub": "Receipts: {home}/published/hub/  Each names the repository and the commit.",
}
FOLDERS = {"inspect": "inspect", "tables": "published/tables"}


def main(argv=None):
    """Print the closing table from results/{experiment}/run_config.yaml and the small result files."""
    parser = argparse.ArgumentParser(prog="show_results", description=__doc__)
    parser.add_argument("--config", default="config.yaml", metavar="PATH", help="the experiment's config (default: %(default)s)")
    parser.add_argument("--of", choices=PLACES, help="say where the files of this target are, in place of the table")
    args = parser.parse_args(argv)
    chosen, default = read_config(args.config), read_config(Path(__file__).parents[1] / "config.yaml")
    home = Path("results") / {**default, **chosen}["experiment"]
    if args.of:
        print(place(args.of, home))
        return
    if not (home / "run_config.yaml").is_file():
        raise InputError(f"{home}: no finished run; start it with snakemake --cores all --configfile {args.config}")
    config = read_yaml(home / "run_config.yaml")["config"]
    runs = list(product([use["set"] for use in config["questions"]["evaluation"]], config["training"]["seeds"]))
    warnings = []
    for (questions, seed), (title, lines, correlation) in zip(runs, result_lines(config, home), strict=True):
        checked, found = training_check(home, questions, seed)
        print(f"\n{title}\n\nDid training work? (own replies of each source)")
        print(as_text(checked, TRAINING_HEADERS))
        print("\nLeakage (replies of all personas)")
        print(as_text(lines))
        print("\nWhat these data support (docs/statistics.md; the numbers behind it: verdict in correlation.json)")
        print("\n".join(answers(correlation["verdict"])))
        print("\n".join(second_outcome(correlation.get("outcomes", {}).get(LOGPROB_GAIN))))
        warnings += [sentence if len(runs) == 1 else f"{questions}, seed {seed}: {sentence}" for sentence in found]
    print(f"\nReplies under 12 tokens count as short. Figures: {home}/figures/  Tables: {home}/analysis/  Everything else: {home}/")
    print(f"Report, open it in a browser: {home}/report/index.html")
    if warnings:
        print("\nTraining did not work everywhere (* in the table):\n" + "\n".join(f"- {sentence}" for sentence in warnings))


def answers(verdict):
    """A line for each question, or one for all of them where no adapter learned the behaviour."""
    if all(entry["because"] == NONE_LEARNED for entry in verdict):
        return [f"{verdict[0]['answer']:>14}: {NONE_LEARNED}"]
    return conclusion_lines(verdict)


def second_outcome(gain):
    """Lines on the outcome that needs no sampled reply: a table of the sources and an answer to each question; none if unmeasured."""
    if gain is None or gain["undefined"]:
        return
    yield "\nThe same by the second outcome, a gain in nats that needs no sampled reply (docs/statistics.md):"
    yield as_text(outcome_lines(gain), OUTCOME_HEADERS)
    for source, block in gain["judged_by_it_alone"].items():
        yield f"{source} is judged by it alone: {block['reason']}"
    yield from answers(gain["verdict"])


def place(target, home):
    """Where the files of a target are and how to open them, as text."""
    folder = shlex.quote(str(home / FOLDERS.get(target, "")))
    environment = Path(sys.prefix)
    activate = f"source {environment.name}/bin/activate; " if environment.parent == Path.cwd() else ""
    printed = home / "negatives/proposal.txt"
    text = printed.read_text(encoding="utf-8") if target == "contain" and printed.is_file() else ""
    return "\n" + PLACES[target].format(home=home, folder=folder, activate=activate, text=text)


if __name__ == "__main__":
    run_program(main)
