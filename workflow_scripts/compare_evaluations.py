"""Test whether evaluations of the same adapters agree: two engines, two precisions, a measurement and its repetition."""

import argparse

import numpy as np
from tabulate import tabulate

from persona_leakage.infrastructure.cli import InputError, run_program
from persona_leakage.infrastructure.files import read_json
from persona_leakage.statistics.comparisons.evaluation_agreement import agreement, paired_counts

HEADERS = ["evaluation", "cells", "with and without", "mean difference", "standard error", "largest", "p"]


def main(argv=None):
    """Print a line for each pair of marker_eval.json files and one for all."""
    parser = argparse.ArgumentParser(prog="compare_evaluations", description=__doc__)
    for option in ("first", "second"):
        parser.add_argument(f"--{option}", nargs="+", required=True, metavar="PATH", help="marker_eval.json files, in the same order")
    args = parser.parse_args(argv)
    if len(args.first) != len(args.second):
        parser.error("--first and --second need equally many files")
    pairs, names = [], []
    for one, other in zip(args.first, args.second, strict=True):
        first, second = read_json(one, "score_leakage"), read_json(other, "score_leakage")
        if first["meta"]["adapter_sha256"] != second["meta"]["adapter_sha256"]:
            raise InputError(f"{one} and {other} are of different adapters")
        pairs.append(paired_counts(first["personas"], second["personas"]))
        names.append(first["meta"]["state"])
    everything = tuple(map(np.concatenate, zip(*pairs, strict=True)))
    results = [agreement(*pair) for pair in [*pairs, everything]]
    keys = ("cells", "informative_cells", "mean_difference", "mean_difference_se", "largest_difference", "p")
    rows = [[name, *(result[key] for key in keys)] for name, result in zip([*names, "all"], results, strict=True)]
    print(tabulate(rows, HEADERS, floatfmt=".3g"))


if __name__ == "__main__":
    run_program(main)
