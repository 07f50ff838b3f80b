"""Checks of a whole experiment's config, beyond what its schema can say. Imports nothing heavy."""

import re
from pathlib import Path

from persona_leakage.config.layers import declared_layers
from persona_leakage.config.personas import RESOURCE_SCHEMAS, personas_source, read_personas, read_question_sets, read_yaml
from persona_leakage.config.schema import check_schema
from persona_leakage.infrastructure.cli import InputError

CONFIG_SCHEMA = RESOURCE_SCHEMAS / "config.schema.yaml"
RESERVED_SOURCES = {"base"}
HELD_OUT_COUNT = 10  # the default's cosines from 10 and from 40 questions correlate at .993; 40 take four times as long
COMPARISON = "compare"


def read_config(path):
    """The mapping in a config file; InputError if the file holds something else, or nothing, or is a template, which would run code."""
    content = read_yaml(path)
    if not isinstance(content, dict):
        found = "nothing" if content is None else repr(content)[:60]
        raise InputError(f"{path}: must hold keys and values (experiment: my-run), not {found}")
    if "__use_yte__" in content:
        raise InputError(f"{path}: __use_yte__ makes it a template that runs code; a config is plain YAML")
    return content


def check_experiment(config, name="config"):
    """Check a merged config and the resource files it names; InputError with every problem found.

    Returns ({persona name: Persona}, {set name: [questions]}).
    """
    check_schema(config, CONFIG_SCHEMA, name)
    personas = read_personas(source_of_personas(config))
    question_sets = read_question_sets(config["questions"]["file"])
    problems = [
        *persona_problems(config, personas),
        *question_problems(config["questions"], question_sets),
        *behaviour_problems(config, personas, question_sets),
        *training_problems(config),
        *model_problems(config["model"]),
        *engine_problems(config),
        *comparison_problems(config),
    ]
    if config["geometry"]["headline_layer"] not in declared_layers(config["geometry"]):
        problems.append(
            f"geometry.headline_layer: {config['geometry']['headline_layer']} is not one of geometry.layers {config['geometry']['layers']}"
        )
    drawn, draws = config["evaluation"]["samples_per_question"], forced_draws(config)
    if draws and draws > drawn:
        problems.append(f"evaluation.teacher_forced.draws: {draws} is more than evaluation.samples_per_question ({drawn})")
    embedding_model = config["analysis"]["embedding_model"]
    if embedding_model and not (Path(embedding_model) / "config.json").is_file():
        problems.append(f"analysis.embedding_model: {embedding_model}: no model there; give a folder with config.json, or null")
    if problems:
        raise InputError("\n  ".join([f"{name}: not valid", *problems]))
    return personas, question_sets


def source_of_personas(config):
    """What read_personas reads an experiment's personas from: the file, and the entries of personas.add."""
    return personas_source(config["personas"]["file"], config["personas"].get("add", ()))


def held_out_questions(config):
    """{set, count} of questions that are never evaluated, for centroids of their own: the first ones of the training questions."""
    training = config["questions"]["training"]
    return {**training, "count": min(HELD_OUT_COUNT, training["count"])}


def panel_names(config, personas):
    """Names of the panel, in order: the configured list, or all personas (of the file, and added ones)."""
    panel = config["personas"]["panel"]
    return list(personas) if panel == "all" else panel


def pool_names(config):
    """Names of the personas that answer the training questions: negative candidates and sources, sorted."""
    return sorted({*config["training_data"]["negative_candidates"], *config["personas"]["sources"]})


def league_on(config):
    """Whether the predictors are compared. A config from elsewhere may lack the keys."""
    analysis = config.get("analysis", {})
    return bool(analysis.get("league") or analysis.get("divergence"))


def adapter_jobs(config):
    """{job name: states} of the sampling jobs that use adapters, a state being "source/seed{seed}".

    With one adapter per job, a single job "completions" whose state is a path pattern with wildcards.
    """
    size = config["evaluation"]["adapters_per_job"]
    if size == 1:
        return {"completions": ["{source}/seed{seed}"]}
    states = [f"{source}/seed{seed}" for seed in config["training"]["seeds"] for source in config["personas"]["sources"]]
    return {f"completions_{number}": states[start : start + size] for number, start in enumerate(range(0, len(states), size), 1)}


def forced_draws(config):
    """How many replies of each persona and question the teacher-forced measure reads; None: all."""
    block = config["evaluation"].get("teacher_forced", False)
    return block["draws"] if isinstance(block, dict) else None


def forced_questions(config, count):
    """How many questions of a set of ``count`` the teacher-forced measure reads replies to, at most: the first ones."""
    block = config["evaluation"].get("teacher_forced", False)
    return min(block.get("questions", count), count) if isinstance(block, dict) else count


def job_file(job, states):
    """What a sampling job's log and benchmark are called: its state, or its own name if it has several."""
    return states[0] if len(states) == 1 else job


def persona_problems(config, personas):
    """Unknown personas, sources outside the panel, too few bystanders or negatives."""
    chosen, candidates = config["personas"], config["training_data"]["negative_candidates"]
    panel = panel_names(config, personas)
    lists = {"personas.sources": chosen["sources"], "personas.panel": panel, "training_data.negative_candidates": candidates}
    for key, names in lists.items():
        for unknown in (name for name in names if name not in personas):
            yield f"{key}: '{unknown}' is not a persona of {chosen['file']}, nor of personas.add"
    for source in chosen["sources"]:
        if source not in panel:
            yield f"personas.sources: '{source}' is not in personas.panel"
        if source in RESERVED_SOURCES:
            yield f"personas.sources: '{source}' is a reserved name"
        wanted, available = config["training_data"]["negative_personas"], len(set(candidates) - {source})
        if wanted > available:
            yield f"training_data.negative_personas: {wanted} are wanted, but '{source}' has only {available} other negative_candidates"
    if len(panel) < 4:
        yield f"personas.panel: has {len(panel)} personas; a correlation needs at least 4 (a source and 3 bystanders)"


def question_problems(questions, question_sets):
    """Unknown sets, counts beyond a set's size, a set used for training and evaluation."""
    uses = [("questions.training", questions["training"])]
    uses += [(f"questions.evaluation.{index}", use) for index, use in enumerate(questions["evaluation"])]
    for key, use in uses:
        if use["set"] not in question_sets:
            yield f"{key}.set: '{use['set']}' is not a set of {questions['file']}; it has {', '.join(question_sets)}"
        elif use["count"] > len(question_sets[use["set"]]):
            yield f"{key}.count: {use['count']} is more than the {len(question_sets[use['set']])} questions of set '{use['set']}'"
    names = [use["set"] for use in questions["evaluation"]]
    if questions["training"]["set"] in names:
        yield f"questions.evaluation: set '{questions['training']['set']}' is also the training set; they must be disjoint"
    if len(set(names)) < len(names):
        yield f"questions.evaluation: a set is listed twice in {names}"


def behaviour_problems(config, personas, question_sets):
    """A marker that is blank, or that a prompt or question already holds."""
    marker, suffix = config["behaviour"]["marker"], config["questions"]["suffix"]
    if marker != marker.strip():
        yield f"behaviour.marker: {marker!r} must not begin or end with white space; put it into behaviour.separator"
    texts = [persona.prompt for persona in personas.values()] + [text for texts in question_sets.values() for text in texts] + [suffix]
    for text in texts:
        if marker.strip() and marker.lower() in text.lower():
            yield f"behaviour.marker: {marker!r} occurs in the prompt, question or suffix {text!r}"


def training_problems(config):
    """A tail without a length, an answer that cannot fit."""
    labels, training = config["labels"], config["training"]
    if labels["loss_scope"] == "tail" and labels["tail_tokens"] < 1:
        yield f"labels.tail_tokens: {labels['tail_tokens']} must be >= 1 when labels.loss_scope is tail"
    answer = config["training_data"]["sampling"]["max_new_tokens"]
    if training["max_length"] <= answer:
        yield f"training.max_length: {training['max_length']} must be greater than training_data.sampling.max_new_tokens ({answer})"


def engine_problems(config):
    """vLLM asked to merge."""
    if config["engine"]["name"] == "vllm" and config["engine"]["merge_adapter"]:
        yield "engine.merge_adapter: true is for the transformers engine; with engine.name: vllm it must be false"


def comparison_problems(config):
    """A divergence from more replies than there are, an experiment that would share the folder of comparisons."""
    divergence, draws = config["analysis"]["divergence"], config["evaluation"]["samples_per_question"]
    if divergence and divergence["replies_per_question"] > draws:
        wanted = divergence["replies_per_question"]
        yield f"analysis.divergence.replies_per_question: {wanted} is more than evaluation.samples_per_question ({draws})"
    if config["experiment"] == COMPARISON:
        yield f"experiment: '{COMPARISON}' is the folder of comparisons under results/; choose another name"


def model_problems(model):
    """A model source without what it needs to be found again."""
    source, location, revision = model["source"], model["location"], model.get("revision") or ""
    if source == "bundled" and ("/" not in location or not re.fullmatch("[0-9a-f]{64}", revision)):
        yield "model: source bundled needs location: package/file and revision: the file's SHA-256 (64 hex digits)"
    if source == "hub" and (location.count("/") != 1 or not re.fullmatch("[0-9a-f]{40}", revision)):
        yield f"model.revision: {revision!r} must be a commit (40 hex digits) of a hub repository such as Qwen/Qwen2.5-7B-Instruct"
    if source == "path" and not Path(location).expanduser().is_dir():
        yield f"model.location: '{location}' is not a folder"
