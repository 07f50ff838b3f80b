"""Reads and checks the config, and gives each stage the parts of it that decide its results.

Runs while Snakemake reads the workflow: no torch, no network.
"""

import json
import os
import re
import shlex
import sys
from functools import cache, partial
from pathlib import Path

from snakemake.exceptions import WorkflowError

SCRIPTS = Path(workflow.basedir) / "workflow_scripts"
sys.path.insert(0, str(SCRIPTS))

from persona_leakage.behaviours.preflight import check_against_model, texts_of
from persona_leakage.config.blocks.behaviour import row_settings
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
from persona_leakage.infrastructure.cli import InputError
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

# Jobs find the Python that runs Snakemake; an environment that Snakemake activates for a job (conda) still comes first.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


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
# The judges of replies, none for other kinds; the limits decide no score.
JUDGES = {name: config["behaviour"][name] for name in ("judge", "second_judge") if config["behaviour"].get(name)}
JUDGE_LIMITS = ("parallel", "max_calls", "price")
QUESTION_SETS_COMPARED = len(QUESTION_USES) > 1
PARAPHRASES_COMPARED = have_paraphrases([PERSONAS[name] for name in PANEL])
NO_PERSONA_COMPARED = bool(config["personas"]["no_persona_prompts"])

SAMPLING_ENV = f"../envs/{'vllm' if config['engine']['name'] == 'vllm' else 'inference'}.yaml"
# Bytes. Linux allows 128 KiB for one argument, and a job's whole script is one.
LONGEST_ARGUMENT = 30_000


def settings(**blocks):
    """Parts of the config as one JSON text with sorted keys: the param ``settings`` of a rule.

    One text, because Snakemake compares params as a set of values without their names. Braces are written as
    JSON escapes, because Snakemake takes {source} in a param for a wildcard. A text that is too long
    for a command line goes into a file named by its content.
    """
    text = re.sub(
        r'"(?:[^"\\]|\\.)*"',
        lambda text: text[0].replace("{", r"\u007b").replace("}", r"\u007d"),
        json.dumps(blocks, sort_keys=True, ensure_ascii=False),
    )
    return text if len(text.encode()) < LONGEST_ARGUMENT else f"@{settings_file(text)}"


@cache
def settings_file(text):
    """The path of a file that holds a text; written if it is missing."""
    path = Path("results/.settings", f"{digest_of(text)}.json")
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return path


def more_each_attempt(**amounts):
    """Resources of a job that may need more on some data: the second attempt gets twice as much, the third three times."""
    return {name: lambda wildcards, attempt, amount=amount: amount * attempt for name, amount in amounts.items()}


def personas_block(names, *fields):
    """Names of personas and a digest of the ``fields`` of them that a stage uses."""
    return describe_personas(PERSONAS, names, *fields)


def questions_block(use):
    """A question set's name, count and digest."""
    return describe_questions(QUESTION_SETS, use)


def condition_of(name):
    """(choice, number or "all") of the negatives of what an adapter is trained on: villain, villain-clean, villain-nearest2."""
    _, variant = split_control(name)
    return read_variant(variant) if variant in NEGATIVE_VARIANTS else CONDITIONS[0]


def negatives_of(name):
    """The personas that serve as negatives; where closeness chooses them when the job runs, all candidates."""
    source, block = split_control(name)[0], config["training_data"]
    choice, number = condition_of(name)
    if choice == "list":
        return sorted(block["negative_lists"][source])
    whole = number == "all" or by_closeness(choice, number)
    count = len(block["negative_pool"]) if whole else number
    return choose_negatives(source, block["negative_pool"], count, config["seed"])


def chosen_by_closeness(name, key="negatives"):
    """{key: {"choice", "count"}} as a setting, empty unless closeness chooses the negatives."""
    choice, number = condition_of(name)
    found = {"choice": choice, "count": number}
    return {key: found} if by_closeness(choice, number) else {}


def personas_of_rows(wildcards):
    """Settings of the personas of training rows: the source and its negatives; for the control shuffled also the panel."""
    source, control = split_control(wildcards.source)
    names = [source, *negatives_of(wildcards.source)]
    shuffled = {"panel": personas_block(PANEL, "prompt")} if control == "shuffled" else {}
    return {"personas": personas_block(names, "prompt"), **chosen_by_closeness(wildcards.source), **shuffled}


def sampling_settings(wildcards, adapted, no_persona_prompts=False):
    """Decides the replies to a question set: of the panel, or of the prompts without a persona (no_persona_prompts)."""
    engine = without(config["engine"], "checkpoint_every")
    cells = {"no_persona_prompts": config["personas"]["no_persona_prompts"]}
    return settings(
        **(cells if no_persona_prompts else {"personas": personas_block(PANEL, "prompt")}),
        seed=config["seed"],
        questions=questions_block(QUESTION_USES[wildcards.questions]),
        suffix=config["questions"]["suffix"],
        draws=config["evaluation"]["samples_per_question"],
        sampling_seed=config["evaluation"]["sampling_seed"],
        sampling=config["evaluation"]["sampling"],
        engine=engine if adapted else without(engine, "merge_adapter"),
    )


def geometry_blocks(use, layers=LAYERS):
    """Decides the centroids of questions {set, count} at some layers, apart from the adapter."""
    return {
        "personas": personas_block(PANEL, "prompt"),
        "questions": questions_block(use),
        "suffix": config["questions"]["suffix"],
        "layers": layers,
        "position": POSITIONS[0],
        "precision": config["geometry"]["precision"],
    }


def forcing_blocks(wildcards):
    """Decides the teacher-forced probabilities of a question set, apart from replies and adapter."""
    asked = QUESTION_USES[wildcards.questions]
    read = {**asked, "count": forced_questions(config, asked["count"])}
    return {
        "personas": personas_block(PANEL, "prompt"),
        "questions": questions_block(read),
        "suffix": config["questions"]["suffix"],
        "draws": forced_draws(config),
        "marker": config["behaviour"]["marker"],
        "separator": config["behaviour"]["separator"],
        "join": config["training_data"]["join"],
        # As for hidden states: on a CPU float32 is faster.
        "precision": config["geometry"]["precision"],
    }


def recipe(questions):
    """Digests that two results must share to be repetitions: all that decides the adapters but seeds; prompts; evaluation."""
    blocks = [
        without(config["training_data"], "controls", "negative_variants"),
        config["labels"],
        config["questions"]["suffix"],
        questions_block(config["questions"]["training"]),
        RECIPE,
    ]
    evaluation = [
        questions_block(QUESTION_USES[questions]),
        config["evaluation"]["samples_per_question"],
        [POSITIONS[0], config["geometry"]["precision"]],
    ]
    return {"training": digest_of(blocks), "prompts": personas_block(PANEL, "prompt")["digest"], "evaluation": digest_of(evaluation)}


def no_study():
    """WorkflowError: predictions need a study."""
    raise WorkflowError(
        "predict_from: missing; name the folder of a finished study, as in make predict CONFIG=my.yaml FROM=docs/results/smollm2_study"
    )
