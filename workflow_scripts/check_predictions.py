"""Check predictions and power: intervals in a study and in simulated ones, permuted labels, planned against simulated power."""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple
from functools import partial

import numpy as np
from tabulate import tabulate

from persona_leakage.infrastructure.cli import run_program
from persona_leakage.statistics.prediction.coverage import PredictionWorld, describe_coverage, permuted, simulated_coverage, uses_of
from persona_leakage.statistics.prediction.power import describe_design
from persona_leakage.statistics.prediction.study import read_study
from persona_leakage.statistics.validation.power_simulation import DESIGNS, simulated_power

WORLDS = {
    "5 sources, 2 seeds": PredictionWorld(),
    "8 sources, 1 seed": PredictionWorld(sources=8, seeds=1),
    "5 sources, 2 seeds, closeness not used": PredictionWorld(),
}
CHUNKS = 40  # of simulated studies, shared among the cores


def main(argv=None):
    """Print four tables."""
    parser = argparse.ArgumentParser(prog="check_predictions", description=__doc__)
    parser.add_argument("study", metavar="FOLDER", help="a finished study")
    parser.add_argument("--studies", type=int, default=400, metavar="N", help="simulated and permuted studies (default: %(default)s)")
    parser.add_argument("--power-studies", type=int, default=5200, metavar="N", help="of each design (default: %(default)s)")
    args = parser.parse_args(argv)
    study = read_study(args.study)
    rows = [[row["mode"], "yes" if row["closeness"] else "no", row["pairs"], *percents(row), row["r2"]] for row in describe_coverage(study)]
    print(f"\nHeld-out personas and sources of {args.study}, inside their 95 % interval, in %")
    show(["held out", "closeness", "pairs", "inside", *study.sources, "width", "R2"], rows)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        print(f"\nInside the interval in {args.studies} simulated studies, in %")
        found = {name: simulated_coverage(world, args.studies, 1, "not used" not in name) for name, world in WORLDS.items()}
        show(["study", *next(iter(found.values()))], [[name, *(100 * share for share in each.values())] for name, each in found.items()])
        uses = list(pool.map(partial(permuted_uses, study), range(args.studies)))
        known, new = (100 * np.mean([each[part] for each in uses], axis=0) for part in (0, 1))
        print(f"\nCloseness is used in {args.studies} permutations of the study's labels, in %")
        show([*study.sources, "new source"], [[*known, new]])
        print(f"\nPower in %, planned and in {args.power_studies} simulated studies")
        show(
            ["P, S, Q, N, K", "mean", "simulated", "new source", "simulated"],
            [power_row(pool, *each, args.power_studies) for each in DESIGNS],
        )


def percents(row):
    """Coverage, that of each source, and width in %."""
    return [100 * value for value in (row["coverage"], *row["per_source"], row["width"])]


def permuted_uses(study, seed):
    """Whether closeness is used for each known source, and for a new one, with labels permuted by ``seed``."""
    return uses_of(permuted(study, seed), seed)


def power_row(pool, components, design, studies):
    """A design, and planned and simulated power in %."""
    planned, size = describe_design(components, design), max(1, studies // CHUNKS)
    parts = list(pool.map(partial(simulated_power, components, design, size), range(1, studies // size + 1)))
    cells = [", ".join(map(str, astuple(design)))]
    for name in ("mean_power", "new_source_power"):
        simulated = [part[name] for part in parts]
        cells += [None, None] if planned[name] is None else [100 * planned[name], 100 * np.mean(simulated)]
    return cells


def show(headers, rows):
    """A Markdown table with one decimal."""
    print(tabulate(rows, headers=headers, floatfmt=".1f", tablefmt="github"))


if __name__ == "__main__":
    run_program(main)
