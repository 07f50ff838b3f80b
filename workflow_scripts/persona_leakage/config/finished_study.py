"""The config and files of a study that predictions come from, and how its recipe differs. Runs while Snakemake reads the workflow."""

from pathlib import Path

from persona_leakage.config.blocks.behaviour import identity
from persona_leakage.config.old_keys import with_new_keys
from persona_leakage.config.personas import read_yaml
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import sha256_of_file

RECIPE_BLOCKS = ("labels", "training_data", "training")
NO_RECIPE = {"seeds", "negative_pool", "max_tokens_per_micro_batch"}
FILE_KEYS = ("rows", "clean_rows", "positives")  # an older study has none of them, which is the same as null


def study_config(folder):
    """The config of a study, with today's keys; InputError if the folder is not one."""
    path = Path(folder) / "run_config.yaml"
    if not path.is_file():
        raise InputError(f"predict_from: {folder}: no finished study there (no run_config.yaml); give a folder such as results/smollm2")
    content = read_yaml(path)
    config = content.get("config") if isinstance(content, dict) else None
    if not isinstance(config, dict):
        raise InputError(f"{path}: holds no config; expected the output of write_run_config")
    try:
        config = with_new_keys(config)
        config["questions"]["evaluation"][0]["set"], config["training"]["seeds"], config["geometry"]["headline_layer"]
    except (KeyError, IndexError, TypeError) as error:
        raise InputError(f"{path}: not the config of an experiment ({type(error).__name__}: {error})") from None
    return config


def analysis_folders(folder, config):
    """The folders with the tables of a study's first question set, one for each training seed."""
    return [Path(folder) / f"analysis/{config['questions']['evaluation'][0]['set']}/seed{seed}" for seed in config["training"]["seeds"]]


def study_files(folder):
    """{path below the folder: SHA-256} of the files that read_study reads; InputError if one is missing."""
    config, found = study_config(folder), {}
    folders = analysis_folders(folder, config)
    names = [each / name for each in folders for name in ("pairs.csv", "correlation.json")] + [folders[0] / "cosines.csv"]
    for path in [Path(folder) / "run_config.yaml", *names]:
        if not path.is_file():
            raise InputError(f"predict_from: {path}: no such file; finish the study, or give the folder of a finished one")
        found[path.relative_to(folder).as_posix()] = sha256_of_file(path)
    return found


def model_identity(facts):
    """What tells a model of results apart: its location and pinned revision, else the digest of its files.

    The digest of a model with a revision varies with the versions of the packages that unpacked it.
    """
    return f"{facts['location']}@{facts['revision']}" if facts.get("revision") else f"digest {facts.get('digest')}"


def panel_file(folder, config):
    """Where a study may keep the centroids of its panel (geometry/centroid_files.py), so that they need not be computed again."""
    return Path(folder) / f"geometry/{config['questions']['evaluation'][0]['set']}/base/panel.npz"


def behaviour_differences(studied, config):
    """Keys of ``behaviour``, with both values, in which two configs train or measure another behaviour; of another kind only that."""
    theirs, ours = (identity(each["behaviour"]) for each in (studied, config))
    keys = sorted({*theirs} & {*ours}) if theirs["kind"] == ours["kind"] else ["kind"]
    return [f"behaviour.{key} is {ours[key]!r}, in the study {theirs[key]!r}" for key in keys if ours[key] != theirs[key]]


def recipe_differences(studied, config):
    """Keys, with both values, in which two configs train adapters or sample replies differently.

    Apart from seeds, batching, the pool of negatives and the numbers of questions and replies.
    """
    pairs = [(name, studied.get(name, {}), config.get(name, {})) for name in RECIPE_BLOCKS]
    pairs.append(("questions", *({key: each["questions"].get(key) for key in ("training", "suffix")} for each in (studied, config))))
    pairs.append(("evaluation", *({"sampling": each["evaluation"]["sampling"]} for each in (studied, config))))
    pairs.append(("questions.evaluation", *({"set": each["questions"]["evaluation"][0]["set"]} for each in (studied, config))))
    differ = []
    for name, theirs, ours in pairs:
        keys = sorted({*theirs} & {*ours} - NO_RECIPE - {*FILE_KEYS}) + [key for key in FILE_KEYS if name == "training_data"]
        differ += [
            f"{name}.{key} is {ours.get(key)!r}, in the study {theirs.get(key)!r}" for key in keys if ours.get(key) != theirs.get(key)
        ]
    return differ
