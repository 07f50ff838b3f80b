"""Check predictions and power: intervals in a study and in simulated ones, permuted labels, planned against simulated power."""

import argparse
import math
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple
from functools import partial
from itertools import product

import numpy as np
from tabulate import tabulate

from persona_leakage.infrastructure.cli import run_program
from persona_leakage.statistics.core.pair_matrices import log_odds
from persona_leakage.statistics.prediction.coverage import (
    PredictionWorld,
    coverage_from_few,
    coverage_from_one_seed,
    describe_coverage,
    permuted,
    simulated_coverage,
    uses_of,
)
from persona_leakage.statistics.prediction.power import describe_design
from persona_leakage.statistics.prediction.study import read_study, spread
from persona_leakage.statistics.validation.power_simulation import DESIGNS, simulated_power
from persona_leakage.tables.read import read_pairs

WORLDS = {
    "5 sources, 2 seeds": PredictionWorld(),
    "8 sources, 1 seed": PredictionWorld(sources=8, seeds=1),
    "5 sources, 2 seeds, closeness not used": PredictionWorld(),
    "5 sources, 1 seed, trainings as different as in the kept study": PredictionWorld(seeds=1, seed_sd=0.37),
    "5 sources, 2 seeds, trainings as different as in the kept study": PredictionWorld(seed_sd=0.37),
}
STUDIES = 400  # simulated and permuted
POWER_ERROR = 0.7  # points, of simulated power
CHUNK, FEWEST = 130, 20  # simulated studies of one task of a core; tasks of a design


def main(argv=None):
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="check_predictions", description=__doc__)
    parser.add_argument("study", metavar="FOLDER", help="a finished study")
    parser.add_argument("--many", metavar="PATH", help="pairs.csv of many sources at one layer, of which few predict the others")
    args = parser.parse_args(argv)
    study = read_study(args.study)
    if args.many:
        print(f"\nNew sources inside the interval from few of those in {args.many}, in %, in {STUDIES} draws of these few")
        show(["outcome", "sources", "inside", "standard deviation", "lowest twentieth, at most"], few_rows(args.many, STUDIES))
    rows = [[row["mode"], "yes" if row["closeness"] else "no", row["pairs"], *percents(row), row["r2"]] for row in describe_coverage(study)]
    print(f"\nHeld-out personas and sources of {args.study}, inside their 95 % interval, in %")
    show(["held out", "closeness", "pairs", "inside", *study.sources, "width", "R2"], rows)
    if (inside := coverage_from_one_seed(study)) is not None:
        print(f"\nFrom one seed, {100 * inside:.1f} % of the other seeds' rates are inside the interval of a known source")
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        print(f"\nInside the interval in {STUDIES} simulated studies, in %")
        found = {name: simulated_coverage(world, STUDIES, 1, "not used" not in name) for name, world in WORLDS.items()}
        show(["study", *next(iter(found.values()))], [[name, *(100 * share for share in each.values())] for name, each in found.items()])
        uses = list(pool.map(partial(permuted_uses, study), range(STUDIES)))
        known, new = (100 * np.mean([each[part] for each in uses], axis=0) for part in (0, 1))
        print(f"\nCloseness is used in {STUDIES} permutations of the study's labels, in %")
        show([*study.sources, "new source"], [[*known, new]])
        print(f"\nPower in %, planned and simulated (standard error at most {POWER_ERROR} points)")
        show(
            ["P, S, Q, N, K", "studies", "mean", "simulated", "new source", "simulated"],
            [power_row(pool, *each) for each in DESIGNS],
        )


def few_rows(path, draws):
    """Mean, standard deviation and 5 % quantile over draws of coverage_from_few, in %, for rates (log-odds) and gains."""
    table = read_pairs(path)
    sources = list(dict.fromkeys(table["source"]))
    grid = spread(table, sources, sorted({*table["persona"], *sources}), path, ("cosine", "found", "total", "logprob_gain"))
    outcomes, rows = {"rate": log_odds(grid["found"], grid["total"]), "logprob_gain": grid["logprob_gain"]}, []
    for (name, outcome), known in product(outcomes.items(), (4, 5, 10)):
        inside = 100 * coverage_from_few(grid["cosine"], outcome, known, draws)
        rows.append([name, known, inside.mean(), inside.std(), np.quantile(inside, 0.05)])
    return rows


def percents(row):
    """Coverage, that of each source, and width in %."""
    return [100 * value for value in (row["coverage"], *row["per_source"], row["width"])]


def permuted_uses(study, seed):
    """Whether closeness is used for each known source, and for a new one, with labels permuted by ``seed``."""
    return uses_of(permuted(study, seed), seed)


def power_row(pool, components, design):
    """A design, simulated studies, and planned and simulated power in %."""
    planned = describe_design(components, design)
    share = planned["mean_power"] or planned["new_source_power"]
    chunks = max(FEWEST, math.ceil(share * (1 - share) / (POWER_ERROR / 100) ** 2 / CHUNK))
    parts = list(pool.map(partial(simulated_power, components, design, CHUNK), range(1, chunks + 1)))
    cells = [", ".join(map(str, astuple(design))), chunks * CHUNK]
    for name in ("mean_power", "new_source_power"):
        simulated = [part[name] for part in parts]
        cells += [None, None] if planned[name] is None else [100 * planned[name], 100 * np.mean(simulated)]
    return cells


def show(headers, rows):
    """A Markdown table with one decimal."""
    print(tabulate(rows, headers=headers, floatfmt=".1f", tablefmt="github"))


if __name__ == "__main__":
    run_program(main)
