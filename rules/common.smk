"""Validation, constants and every helper. Runs while Snakemake reads the workflow: no torch, no network, under a second."""

import json
import re
import shlex
import sys
from functools import cache, partial
from pathlib import Path

from snakemake.exceptions import WorkflowError

SCRIPTS = Path(workflow.basedir) / "workflow_scripts"
sys.path.insert(0, str(SCRIPTS))

from persona_leakage.config.compared_experiments import digests_of, experiment_folders
from persona_leakage.config.config_parts import config_layers, resolve_config
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.config.experiment import (
    COMPARISON,
    check_experiment,
    complete_config,
    forced_draws,
    forced_questions,
    held_out_questions,
    compares_predictors,
    panel_names,
    pool_names,
    source_of_personas,
)
from persona_leakage.infrastructure.files import atomic_path, digest_of
from persona_leakage.infrastructure.job_environment import prefer_own_python
from persona_leakage.behaviours.preflight import check_against_model, texts_of
from persona_leakage.config.personas import have_wordings, read_yaml
from persona_leakage.config.layers import declared_layers, is_swept
from persona_leakage.publishing.common import publishing_block
from persona_leakage.config.selections import describe_personas, describe_questions
from persona_leakage.training.dataset import choose_negatives

if set("{}") & set(str(workflow.basedir)):
    raise WorkflowError(
        f"{workflow.basedir}: Snakemake takes braces in the path of a workflow for wildcards; move the project to a folder without"
    )
try:
    # Snakemake lists the files of the command line first, but merges them last.
    given = workflow.config_settings
    own = workflow.configfiles[len(given.configfiles) :]
    resolve_config(
        config,
        config_layers(
            [*([] if given.replace_workflow_config else own), *given.configfiles],
            given.config,
        ),
    )
    config_names = " + ".join(map(str, workflow.configfiles))
    config.update(complete_config(config, config_names))
    PERSONAS, QUESTION_SETS = check_experiment(config, config_names)
    MODEL = f"resources/models/{config['model']['name']}/model.json"
    PANEL = panel_names(config, PERSONAS)
    POOL = pool_names(config)
    used = [PERSONAS[name] for name in sorted({*PANEL, *POOL})]
    check_against_model(config, used, QUESTION_SETS, MODEL)
    TEXTS = texts_of(config, used, QUESTION_SETS)
except InputError as error:
    raise WorkflowError(str(error)) from None

prefer_own_python()

EXPERIMENT = config["experiment"]
SOURCES = config["personas"]["sources"]
SEEDS = config["training"]["seeds"]
LAYERS = declared_layers(config["geometry"])
HEADLINE = config["geometry"]["headline_layer"]
POSITIONS = config["geometry"]["positions"]
SWEPT = is_swept(config["geometry"])
COMPARES_PREDICTORS = compares_predictors(config)
EVALUATION = "results/{experiment}/evaluation/{questions}"
SAMPLING_ENV = (
    f"../envs/{'vllm' if config['engine']['name'] == 'vllm' else 'inference'}.yaml"
)
# The axes that are off unless the config says so.
ADAPTED_GEOMETRY = config["geometry"].get("adapted", False)
TEACHER_FORCED = config["evaluation"].get("teacher_forced", False)
QUESTION_USES = {use["set"]: use for use in config["questions"]["evaluation"]}
HELD_OUT_QUESTIONS = held_out_questions(config)
HELD_OUT = f"results/{{experiment}}/geometry/{HELD_OUT_QUESTIONS['set']}/base"
# What is compared beside the panel, and only then: several question sets, roles in several wordings, prompts without a persona.
QUESTION_SETS_COMPARED = len(QUESTION_USES) > 1
WORDINGS_COMPARED = have_wordings([PERSONAS[name] for name in PANEL])
VARIANTS_COMPARED = bool(config["personas"]["no_persona_prompts"])


# Linux takes 128 KiB in one argument, and a job's whole script is one.
LONGEST_ARGUMENT = 30_000


wildcard_constraints:
    experiment=re.escape(EXPERIMENT),
    source="|".join(map(re.escape, SOURCES)),
    seed="|".join(map(str, SEEDS)),
    layer="|".join(map(str, LAYERS)),
    questions="|".join(map(re.escape, QUESTION_USES)),
    model=re.escape(config["model"]["name"]),


PAGE_FOLDER = "workflow_scripts/persona_leakage/reporting/page"
PAGE_FILES = sorted(
    str(path.relative_to(workflow.basedir))
    for path in (Path(workflow.basedir) / PAGE_FOLDER).rglob("[!.]*.*")
)


def settings(**blocks):
    """The parts of the config that a stage uses, as one JSON text with sorted keys.

    One text, because Snakemake compares params as a set of values without their names: two that
    swap their values would go unnoticed. Braces within its texts stand as JSON escapes, because
    Snakemake takes {source} in a param for a wildcard. What is too long for a command line goes into a
    file that is named by its content.
    """
    text = re.sub(
        r'"(?:[^"\\]|\\.)*"',
        lambda text: text[0].replace("{", r"\u007b").replace("}", r"\u007d"),
        json.dumps(blocks, sort_keys=True, ensure_ascii=False),
    )
    return text if len(text.encode()) < LONGEST_ARGUMENT else f"@{settings_file(text)}"


@cache
def settings_file(text):
    """The path of a file that holds a text, written if it is not there."""
    path = Path("results/.settings", f"{digest_of(text)}.json")
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return path


def untracked(value):
    """A param that makes nothing stale: Snakemake compares no param that takes ``input``.

    For what decides no result, and for the paths of personas and questions, whose content is in the settings
    as a digest: a copy of the file, or another persona in it, is no reason to run a job again. A path that
    begins with a dash would be taken for an option.
    """
    return lambda wildcards, input: (
        f"./{value}" if str(value).startswith("-") else value
    )


def figure(path):
    """The three outputs of a figure, by their kind; the png stands in snakemake --report with its caption."""
    name = path.rsplit("/", 1)[-1]
    files = {
        kind: f"results/{{experiment}}/figures/{path}.{kind}"
        for kind in ("pdf", "png", "svg")
    }
    shown = report(
        files["png"],
        caption=f"../{PAGE_FOLDER}/captions/{name}.rst",
        category="training" if name == "training" else "results",
        labels={"figure": name.replace("_", " ")},
    )
    return {**files, "png": shown}


def draws(name, **files):
    """The inputs of a figure's rule: the code of plot_figure.py with that figure's module, and the files that it draws."""
    return {
        "code": code_of("plot_figure.py", f"persona_leakage/figures/{name}.py"),
        **files,
    }


def as_options(wildcards, input):
    """The named inputs of a job as command line options of the same names, all but its code."""
    options = []
    for name, paths in input.items():
        if name != "code":
            paths = [paths] if isinstance(paths, str) else paths
            options += [f"--{name.replace('_', '-')}", *map(shlex.quote, paths)]
    return " ".join(options)


def of_each_set(*files):
    """Files of evaluation/{questions}/ for each question set, as path patterns."""
    return [
        f"results/{{experiment}}/evaluation/{questions}/{file}"
        for questions in QUESTION_USES
        for file in files
    ]


def of_each_seed(file):
    """A file of analysis/{questions}/ of each training seed, as path patterns."""
    return [
        f"results/{{experiment}}/analysis/{{questions}}/seed{seed}/{file}"
        for seed in SEEDS
    ]


def of_each_analysis(name):
    """A file of analysis/{questions}/seed{seed}/ for each question set, as path patterns."""
    return [
        f"results/{{experiment}}/analysis/{questions}/seed{{seed}}/{name}"
        for questions in QUESTION_USES
    ]


def variant_files(name):
    """A file of variants/{questions}/ for the base model and each source, as path patterns."""
    return [
        f"results/{{experiment}}/variants/{{questions}}/{state}/{name}"
        for state in ("base", *(f"{source}/seed{{seed}}" for source in SOURCES))
    ]


def headline_centroids(name):
    """A file beside the headline layer's centroids, of the variants and of the panel, as path patterns."""
    name = name.format(layer=config["geometry"]["headline_layer"])
    return [
        f"results/{{experiment}}/{folder}/base/{name}"
        for folder in ("variants/{questions}", "geometry/{questions}")
    ]


def ending(paths, *suffixes):
    """Those of the paths that have one of the suffixes."""
    return [path for path in paths if path.endswith(suffixes)]


def publishing_settings(service, **facts):
    """Settings of a job that publishes; a config that lacks what the service needs is an error when such a job is asked for."""

    def of(wildcards):
        try:
            block = publishing_block(config, service)
        except InputError as error:
            raise WorkflowError(str(error)) from None
        return settings(experiment=EXPERIMENT, **{service: block}, **facts)

    return of


def without(block, *keys):
    """A config block less some keys."""
    return {key: value for key, value in block.items() if key not in keys}


# For programs that read personas; untracked, because their settings hold a digest of what they use.
PERSONAS_FILE = untracked(source_of_personas(config))

# For programs that take adapters; untracked, because another value already makes the adapters themselves stale.
TRAINED_WITH = untracked(settings(**without(config["training"], "seeds")))
