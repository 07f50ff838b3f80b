"""How much of a correlation's spread comes from training again, and how much from sampling again."""

import numpy as np

from persona_leakage.errors import InputError
from persona_leakage.seed_stability import MEAN, describe_stability, sampling_errors
from persona_leakage.undefined import undefined

SAME_IN_ALL = ("model", "engine", "sampling", "behaviour", "detector", "bank", "seed", "recipe")
KEYS = ("training", "sampling", "training_and_sampling")


def variance_parts(groups):
    """Standard deviations between and within groups (one-way random effects, moments): training seeds, sampling seeds within them.

    groups: {training seed: [values, one for each sampling seed]}. {"training", "sampling"} need two of each somewhere; with
    one sampling seed per training seed only their sum, "training_and_sampling", can be told. A negative moment counts as 0.
    """
    sizes = np.array([len(values) for values in groups.values()])
    total, number = int(sizes.sum()), len(groups)
    if total < 2:
        return undefined("one run; at least 2 training seeds or sampling seeds needed", *KEYS)
    means = np.array([np.mean(values) for values in groups.values()])
    parts = dict.fromkeys(KEYS)
    within = sum(((np.array(values) - mean) ** 2).sum() for values, mean in zip(groups.values(), means, strict=True))
    if total > number:
        within /= total - number
        parts["sampling"] = float(within**0.5)
    if number == 1:
        return {**parts, "undefined": "one training seed: no part for training"}
    grand = (sizes * means).sum() / total
    among = (sizes * (means - grand) ** 2).sum() / (number - 1)
    if total == number:
        return {
            **parts,
            "training_and_sampling": float(among**0.5),
            "undefined": "one sampling seed for each training seed: parts not separable",
        }
    repeats = (total - (sizes**2).sum() / total) / (number - 1)
    parts["training"] = float(max(0.0, (among - within) / repeats) ** 0.5)
    return {**parts, "undefined": None}


def compare_seeds(runs, tables=None):
    """Parts of the spread of Spearman's rho at the headline layer, per source and of the mean; and how stable leakage is.

    runs: {path: content of correlation.json}; tables: {path: (PairMatrices, counts per question)} behind them, if they are
    there: then the part of sampling is known from the replies, and needs no second sampling seed. Leakage is compared
    between training seeds, of each the first run. InputError if the runs are not repetitions of one experiment, or
    if two have the same pair of seeds.
    """
    seeds = check_runs(runs)
    tables = dict.fromkeys(runs) if tables is None else tables
    errors = {path: errors_of(run, tables[path]) for path, run in runs.items()}
    trainings = {training: path for path, (training, _) in reversed(seeds.items())}
    first = [path for path in runs if path in trainings.values()]
    values = {}
    for path, run in runs.items():
        layer = run["layers"][str(run["headline_layer"])]
        for name, block in layer["per_source"].items():
            values.setdefault(name, {})[seeds[path]] = block["spearman_rho"]
        whole = run["joint"]["sources"] == list(layer["per_source"])
        values.setdefault(MEAN, {})[seeds[path]] = layer["within_source"]["mean_rho"] if whole else None
    return {
        "runs": [{"training_seed": training, "sampling_seed": sampling} for training, sampling in seeds.values()],
        "headline_layer": next(iter(runs.values()))["headline_layer"],
        "spearman_rho": {name: describe_values(found, [errors[path].get(name) for path in runs]) for name, found in values.items()},
        "leakage": {
            "training_seeds": [seeds[path][0] for path in first],
            "per_source": describe_stability([runs[path] for path in first], [tables[path] for path in first]),
        },
    }


def errors_of(run, table):
    """{source: standard deviation of its rho from sampling} of a run; {} without its tables."""
    return sampling_errors(*table, run["headline_layer"], run["joint"]["sources"]) if table else {}


def describe_values(found, errors):
    """Values, mean, range and parts of {(training seed, sampling seed): value}; the parts are undefined if a value is.

    errors: standard deviation of each value from sampling alone, None where unknown. With one sampling seed for each
    training seed they stand for what several would show; sampling_from says where the part of sampling is from.
    """
    values = list(found.values())
    if None in values:
        nothing = dict.fromkeys(("mean", "lowest", "highest", "sampling_from"))
        return {"values": values, **nothing, **undefined("a run lacks a correlation", *KEYS)}
    groups = {}
    for (training, _), value in found.items():
        groups.setdefault(training, []).append(value)
    parts = {"sampling_from": None, **variance_parts(groups)}
    if parts["sampling"] is not None:
        parts["sampling_from"] = "sampling seeds"
    elif parts["training_and_sampling"] is not None and None not in errors:
        sampling = float(np.mean(np.square(errors)))
        training = max(0.0, parts["training_and_sampling"] ** 2 - sampling)
        parts |= {"training": training**0.5, "sampling": sampling**0.5, "sampling_from": "replies", "undefined": None}
    return {"values": values, "mean": float(np.mean(values)), "lowest": min(values), "highest": max(values), **parts}


def check_runs(runs):
    """{path: (training seed, sampling seed)}; see compare_seeds for what is refused."""
    (first_path, first), seeds = next(iter(runs.items())), {}
    for path, run in runs.items():
        for key in SAME_IN_ALL:
            if run["meta"].get(key) != first["meta"].get(key):
                raise InputError(
                    f"{path}: {key} is {run['meta'].get(key)}, but {first['meta'].get(key)} in {first_path}; runs may differ in seeds only"
                )
        sources = list(run["layers"][str(run["headline_layer"])]["per_source"])
        expected = list(first["layers"][str(first["headline_layer"])]["per_source"])
        if (run["headline_layer"], sources) != (first["headline_layer"], expected):
            raise InputError(
                f"{path}: headline layer {run['headline_layer']} and sources {', '.join(sources)}; {first_path} has layer"
                f" {first['headline_layer']} and {', '.join(expected)}"
            )
        pair = (run["meta"].get("training_seed"), run["meta"].get("sampling_seed"))
        if None in pair:
            raise InputError(f"{path}: meta has no training_seed or no sampling_seed")
        for other, known in seeds.items():
            if known == pair:
                raise InputError(f"{path}: training seed {pair[0]} and sampling seed {pair[1]} are those of {other}")
        seeds[path] = pair
    return seeds
