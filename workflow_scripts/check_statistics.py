"""Check the statistics on synthetic experiments with known truth: how often each test rejects, how often each interval holds the truth."""

import argparse
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

from tabulate import tabulate

from persona_leakage.infrastructure.cli import run_program
from persona_leakage.statistics.validation.calibration import attenuation, collect_p_values, coverage
from persona_leakage.statistics.validation.levelling_worlds import EXPECTED, WORLDS, levelling_answers
from persona_leakage.statistics.validation.null_worlds import CLAIMS, NULL_WORLDS, TRUE_IN, answers, close_leaks, supported
from persona_leakage.statistics.validation.simulation import SCENARIOS

COVERED = ("no effect", "pair effect", "pair effect, sources differ")


def main(argv=None):
    """Print five tables; with 400 synthetic experiments a share of 5 % is known to within 2 points."""
    parser = argparse.ArgumentParser(prog="check_statistics", description=__doc__)
    parser.add_argument("--tables", type=int, default=400, metavar="N", help="synthetic experiments of each kind (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the experiments (default: %(default)s)")
    parser.add_argument("--verdicts", action="store_true", help="only the first two tables: verdicts")
    args = parser.parse_args(argv)
    print_conclusions(args.tables, args.seed)
    print_levelling(args.tables, args.seed)
    if args.verdicts:
        return
    rejected = {name: collect_p_values(world, args.tables, args.seed) for name, world in SCENARIOS.items()}
    print(f"\nShare of {args.tables} synthetic experiments with p < 0.05, in %")
    print_table(list(rejected), {test: [100 * (rejected[name][test] < 0.05).mean() for name in rejected] for test in rejected["no effect"]})
    covered = {name: coverage(SCENARIOS[name], args.tables, args.seed) for name in COVERED}
    print(f"\nShare of {args.tables} synthetic experiments whose 95 % interval holds the truth, in %")
    print_table(list(covered), {name: [100 * covered[world][name] for world in covered] for name in covered["no effect"]})
    rare = replace(SCENARIOS["pair effect"], baseline=-6.0)
    print("\nMean correlation as measured, and if leakage were known exactly")
    for name, world in (("pair effect", SCENARIOS["pair effect"]), ("pair effect, rare leakage", rare)):
        print_table(
            ["measured", "exact"], {f"{name}: {key}": pair for key, pair in attenuation(world, args.tables // 4, args.seed).items()}, 3
        )


def print_conclusions(tables, seed):
    """How often each claim is supported in worlds where related personas are alike; a star: it is true there."""
    rows = {}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for name, world in {**NULL_WORLDS, "close leaks": close_leaks}.items():
            found = supported(list(pool.map(partial(answers, world), [[seed, number] for number in range(tables)])))
            true = CLAIMS if world is close_leaks else TRUE_IN.get(name, ())
            rows[name] = [f"{100 * found[claim]:.1f}{' *' if claim in true else ''}" for claim in CLAIMS]
    error = 100 * (0.05 * 0.95 / tables) ** 0.5
    print(
        f"Share of {tables} synthetic experiments whose verdict says supported, in % (* = true there; standard error at 5 %: {error:.1f})"
    )
    print(tabulate([[name, *shares] for name, shares in rows.items()], headers=["", *CLAIMS], disable_numparse=True, tablefmt="github"))


def print_levelling(tables, seed):
    """How often each verdict is right where personas show the behaviour before training and training levels them."""
    rows = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for name, world in WORLDS.items():
            found = list(pool.map(partial(levelling_answers, world), [[seed, number] for number in range(tables)]))
            for entry in found[0]:
                given = Counter(each[entry] for each in found)
                right = EXPECTED[name].get(entry, ())
                shares = [f"{answer}{' *' if answer in right else ''} {100 * count / tables:.1f}" for answer, count in given.most_common()]
                rows.append([name, entry, ", ".join(shares)])
    print(f"\nAnswers in {tables} synthetic experiments with base rates above 0, in % (* = right)")
    print(tabulate(rows, headers=["", "entry of the verdict", "answers"], disable_numparse=True, tablefmt="github"))


def print_table(headers, rows, digits=1):
    """Rows {name: numbers} with this many decimals."""
    print(tabulate([[name, *numbers] for name, numbers in rows.items()], headers=["", *headers], floatfmt=f".{digits}f", tablefmt="github"))


if __name__ == "__main__":
    run_program(main)
