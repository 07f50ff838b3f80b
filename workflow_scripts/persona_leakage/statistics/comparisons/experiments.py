"""Comparison of finished experiments from their small result files, and which of them could not be read."""

from pathlib import Path

import pandas as pd

from persona_leakage.config.blocks.behaviour import DEFAULT_KIND
from persona_leakage.config.old_keys import with_new_keys
from persona_leakage.config.personas import read_yaml
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json

FACTS = (
    *("experiment", "kind", "model", "recipe", "questions", "evaluation", "training_seed", "sampling_seed"),
    *("headline_layer", "personas", "panel", "file"),
)
# Short digests that distinguish runs with otherwise equal facts: the adapters' whole recipe, the prompts, and how they were
# evaluated; results of older versions lack some.
DIGESTS, DIGITS = {"training": "training", "panel": "prompts", "evaluation": "evaluation"}, 8
MEAN = "mean of the sources"
UNKNOWN = {"mean_rho": None, "interval": None}


def read_experiments(folders):
    """{"runs": [a run's facts and correlations], "left_out": [{"file", "reason"}]}; a run is a question set and a training seed.

    Sorted by model, recipe, questions, experiment and seed. InputError if nothing could be read.
    """
    runs, left_out = [], []
    for folder in folders:
        try:
            planned = planned_runs(folder, read_config(folder))
        except InputError as error:
            left_out.append({"file": str(folder), "reason": str(error)})
            continue
        for file, facts in planned:
            try:
                run = read_run(file)
                runs.append({**facts, **run, "recipe": f"{facts['recipe']} ({run['training']})"})
            except InputError as error:
                left_out.append({"file": str(file), "reason": str(error)})
    if not runs:
        reasons = "".join(f"\n  {entry['reason']}" for entry in left_out)
        raise InputError(f"compare: no finished experiment among {len(folders)} folder(s){reasons}")
    order = ("model", "recipe", "questions", "experiment", "training_seed", "file")
    return {"runs": sorted(runs, key=lambda run: [str(run[key]) for key in order]), "left_out": left_out}


def read_config(folder):
    """The config in an experiment's run_config.yaml, with today's keys."""
    path = Path(folder) / "run_config.yaml"
    content = read_yaml(path)
    if not isinstance(content, dict) or not isinstance(content.get("config"), dict):
        raise InputError(f"{path}: holds no config; it is written by the rule write_run_config")
    return with_new_keys(content["config"])


def planned_runs(folder, config):
    """[(path of correlation.json, facts from the config)] of every question set and training seed of an experiment."""
    path = Path(folder) / "run_config.yaml"
    try:
        training, labels, negatives = config["training"], config["labels"], negatives_text(config["training_data"])
        rslora = ", rslora" if training["lora"]["rslora"] else ""
        recipe = f"{labels['loss_on']} loss, rank {training['lora']['rank']}{rslora}, rate {training['learning_rate']:g}"
        facts = {
            "experiment": str(config["experiment"]),
            "kind": kind_text(config["behaviour"]),
            "recipe": f"{recipe}, epochs {training['epochs']}, negatives {negatives}, end {labels['turn_end_target']}",
        }
        sets, seeds = [str(use["set"]) for use in config["questions"]["evaluation"]], [int(seed) for seed in training["seeds"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: not the config of an experiment ({type(error).__name__}: {error})") from None
    return [
        (Path(folder) / f"analysis/{questions}/seed{seed}/correlation.json", {**facts, "questions": questions})
        for questions in sets
        for seed in seeds
    ]


def kind_text(block):
    """The kind of a block ``behaviour``, and whether leakage is a change of mean scores."""
    return f"{block.get('kind', DEFAULT_KIND)}{' (mean score)' if block.get('measure') == 'mean' else ''}"


def negatives_text(block):
    """How many negatives the block training_data asks for, and how they are chosen unless by a hash."""
    choice = block.get("negative_choice", "hash")
    return {"hash": str(block["negative_personas"]), "list": "listed"}.get(choice, f"{block['negative_personas']} {choice}")


def read_run(path):
    """A run's facts and correlations from its correlation.json; InputError if something is missing."""
    content = read_json(path)
    try:
        meta, layer = content["meta"], content["layers"][str(content["headline_layer"])]
        mean, centred, per_source = layer["within_source"], layer["double_centred"], read_sources(content, layer)
        partial = (layer.get("base_confound") or {}).get("partial") or UNKNOWN
        levels = [block["leakage"] for block in per_source.values()]
        return {
            "file": str(path),
            "model": str(meta["model"]["name"]),
            "training_seed": int(meta["training_seed"]),
            "sampling_seed": int(meta["sampling_seed"]),
            "headline_layer": int(content["headline_layer"]),
            "personas": int(meta["bank"]["personas"]),
            **{name: str(meta["recipe"].get(key, "unknown"))[:DIGITS] for name, key in DIGESTS.items()},
            "leakage": None if None in levels else sum(levels) / len(levels),
            "mean_rho": mean["mean_rho"],
            "interval": mean["interval"],
            "partial_rho": partial["mean_rho"],
            "partial_interval": partial["interval"],
            "p": layer["chance"]["association"]["p"],
            "double_centred_r": centred["r"],
            "double_centred_interval": centred["interval"],
            "answer": str(content["verdict"][0]["answer"]),
            "per_source": per_source,
        }
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: not a correlation.json of this workflow ({type(error).__name__}: {error})") from None


def read_sources(content, layer):
    """{source: {"rho", "interval", "partial_rho", "partial_interval", "leakage", "n"}} of one layer of a correlation.json.

    leakage: mean over the bystanders; partial_rho: given the base rate, None where no bystander shows the behaviour without adapter.
    """
    change, partial = content.get("signed_change"), (layer.get("base_confound") or {}).get("per_source") or {}
    return {
        str(name): {
            "rho": block["spearman_rho"],
            "interval": block["spearman_interval"],
            "partial_rho": partial[name]["partial"] if name in partial else None,
            "partial_interval": partial[name]["partial_interval"] if name in partial else None,
            "leakage": change[name]["mean"] if change else block["mean_bystander_rate"],
            "n": int(block["n"]),
        }
        for name, block in layer["per_source"].items()
    }


def comparison_table(runs):
    """A DataFrame with a row for each run and source, and one for their mean: FACTS, source, leakage, n (empty for the mean).

    And rho, low, high, and the same of the correlation given the base rate: partial_rho, partial_low, partial_high.
    """
    rows = []
    for run in runs:
        for name, block in {MEAN: {**run, "rho": run["mean_rho"], "n": None}, **run["per_source"]}.items():
            row = {**{key: run[key] for key in FACTS}, "source": name, "leakage": block["leakage"]}
            for prefix in ("", "partial_"):
                low, high = block[f"{prefix}interval"] or (None, None)
                row |= {f"{prefix}rho": block[f"{prefix}rho"], f"{prefix}low": low, f"{prefix}high": high}
            rows.append({**row, "n": block["n"]})
    return pd.DataFrame(rows).astype({"n": "Int64"})
