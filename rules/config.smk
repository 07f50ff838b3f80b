"""Reads and checks the config, and names what the rules take from it.

Runs while Snakemake reads the workflow: no torch, no network.
"""

import json
import re
import shlex
import sys
from functools import cache, partial
from pathlib import Path

from snakemake.exceptions import WorkflowError

SCRIPTS = Path(workflow.basedir) / "workflow_scripts"
sys.path.insert(0, str(SCRIPTS))

from persona_leakage.behaviours.preflight import check_against_model, texts_of
from persona_leakage.config.blocks.behaviour import JUDGE_LIMITS, recipe_parts, row_settings, trait
from persona_leakage.config.blocks.training_data import read_variant
from persona_leakage.config.compared_experiments import digests_of, experiment_folders
from persona_leakage.config.config_parts import config_layers, resolve_config
from persona_leakage.config.experiment import (
    COMPARISON,
    by_closeness,
    check_experiment,
    compares_predictors,
    complete_config,
    count_negatives,
    forced_block,
    forced_draws,
    forced_questions,
    held_out_questions,
    negative_conditions,
    panel_names,
    pool_names,
    samples_replies,
    source_of_personas,
)
from persona_leakage.config.finished_study import panel_file, study_config, study_files
from persona_leakage.config.layers import declared_layers, is_swept
from persona_leakage.config.personas import have_paraphrases, read_personas, read_question_sets, read_yaml
from persona_leakage.config.selections import describe_personas, describe_questions
from persona_leakage.infrastructure.cli import InputError, prefer_own_python
from persona_leakage.infrastructure.files import atomic_path, digest_of, sha256_of_file
from persona_leakage.models.model_files import model_files
from persona_leakage.publishing.common import publishing_block
from persona_leakage.training.controls import split_control
from persona_leakage.training.dataset import choose_negatives
from persona_leakage.training.row_files import check_row_files

try:
    # Snakemake lists the files of the command line first, but merges them last.
    given = workflow.config_settings
    own = workflow.configfiles[len(given.configfiles) :]
    files = [*([] if given.replace_workflow_config else own), *given.configfiles]
    resolve_config(config, config_layers(files, given.config))
    config_names = " + ".join(map(str, workflow.configfiles))
    config.update(complete_config(config, config_names))
    PERSONAS, QUESTION_SETS = check_experiment(config, config_names)
    row_texts = check_row_files(config, QUESTION_SETS)
    MODEL = f"resources/models/{config['model']['name']}/model.json"
    PANEL = panel_names(config, PERSONAS)
    POOL = pool_names(config)
    used = [PERSONAS[name] for name in sorted({*PANEL, *POOL})]
    check_against_model(config, used, QUESTION_SETS, MODEL, row_texts)
    TEXTS = texts_of(config, used, QUESTION_SETS, row_texts)
except InputError as error:
    raise WorkflowError(str(error)) from None

prefer_own_python()


def without(block, *keys):
    """A config block less some keys."""
    return {key: value for key, value in block.items() if key not in keys}


EXPERIMENT = config["experiment"]
SOURCES = config["personas"]["sources"]
CONDITIONS = negative_conditions(config)
NEGATIVE_VARIANTS = config["training_data"]["negative_variants"]
CLOSENESS_CHOOSES = any(by_closeness(*condition) for condition in CONDITIONS)
# Removed where there are none, so that no result without them changes.
CONTROLS = config["training_data"]["controls"] or config["training_data"].pop("controls")
for key, default in {"negative_choice": "hash", "negative_lists": {}, "negative_variants": []}.items():
    if config["training_data"][key] == default:
        config["training_data"].pop(key)
if config["behaviour"].get("measure") == "share":
    config["behaviour"].pop("measure")
MEAN_SCORE = {"mean_score": config["behaviour"]["direction"]} if "measure" in config["behaviour"] else {}
SEEDS = config["training"]["seeds"]
# As the controls: removed where there are none.
SNAPSHOTS = config["training"]["snapshots"] or config["training"].pop("snapshots")
RECIPE = without(config["training"], "seeds", "snapshots")
LAYERS = declared_layers(config["geometry"])
HEADLINE = config["geometry"]["headline_layer"]
POSITIONS = config["geometry"]["positions"]
QUESTION_USES = {use["set"]: use for use in config["questions"]["evaluation"]}
HELD_OUT_QUESTIONS = held_out_questions(config)
RESAMPLES = {name: config["analysis"][name] for name in ("permutations", "bootstraps")}

# Optional analyses, off unless the config asks for them.
SWEPT = is_swept(config["geometry"])
COMPARES_PREDICTORS = compares_predictors(config)
ADAPTED_GEOMETRY = config["geometry"].get("adapted", False)
# The kind of behaviour decides which module builds rows and scores replies; its code counts like that of a figure.
KIND = config["behaviour"]["kind"]
KIND_CODE = f"persona_leakage/behaviours/kinds/{KIND}.py"
TEACHER_FORCED = forced_block(config)
SAMPLES = samples_replies(config)
# The judges of replies, none for other kinds.
JUDGES = {name: config["behaviour"][name] for name in ("judge", "second_judge") if config["behaviour"].get(name)}
QUESTION_SETS_COMPARED = len(QUESTION_USES) > 1
PARAPHRASES_COMPARED = have_paraphrases([PERSONAS[name] for name in PANEL])
NO_PERSONA_COMPARED = bool(config["personas"]["no_persona_prompts"])

SAMPLING_ENV = f"../envs/{'vllm' if config['engine']['name'] == 'vllm' else 'inference'}.yaml"
# Bytes. Linux allows 128 KiB for one argument, and a job's whole script is one.
LONGEST_ARGUMENT = 30_000
