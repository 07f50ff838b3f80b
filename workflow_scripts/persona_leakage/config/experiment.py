"""Checks of a whole experiment's config, beyond what its blocks say. Imports nothing heavy."""

from pathlib import Path
from typing import get_args

from persona_leakage.config.blocks.behaviour import KINDS, trait
from persona_leakage.config.blocks.experiment import Experiment
from persona_leakage.config.blocks.fields import Block
from persona_leakage.config.blocks.training_data import Closeness, read_variant
from persona_leakage.config.messages import parse
from persona_leakage.config.personas import personas_source, read_personas, read_question_sets, read_yaml
from persona_leakage.infrastructure.cli import InputError

RESERVED_SOURCES = {"base"}
HELD_OUT_COUNT = 10  # the default's cosines from 10 and from 40 questions correlate at .993; 40 take four times as long
COMPARISON = "compare"
FEWEST_QUESTIONS = 5  # of a standard error over questions, see tables/build.py


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
    config = complete_config(config, name)
    personas = read_personas(source_of_personas(config))
    question_sets = read_question_sets(config["questions"]["file"])
    problems = [
        *persona_problems(config, personas),
        *question_problems(config["questions"], question_sets),
        *behaviour_problems(config, personas, question_sets),
        *model_problems(config["model"]),
        *size_problems(config),
    ]
    embedding_model = config["analysis"]["embedding_model"]
    if embedding_model and not (Path(embedding_model) / "config.json").is_file():
        problems.append(f"analysis.embedding_model: {embedding_model}: no model there; give a folder with config.json, or null")
    if problems:
        raise InputError("\n  ".join([f"{name}: not valid", *problems]))
    return personas, question_sets


def complete_config(config, name="config"):
    """A copy of a merged config with the default of every key that is missing; InputError as check_experiment, of single blocks."""
    return with_defaults(config, parse(Experiment, config, name))


def with_defaults(content, block):
    """A copy of ``content`` with what it lacks of its parsed ``block``; values that it has stay as they were written."""
    whole = {}
    for key, value in block:
        if isinstance(value, Block) and key in content:
            whole[key] = with_defaults(content[key], value)
        else:
            whole[key] = content[key] if key in content else block.model_dump(include={key})[key]
    return whole


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
    return sorted({*config["training_data"]["negative_pool"], *config["personas"]["sources"]})


def negative_conditions(config):
    """[(choice, number or "all")] of the negatives of an experiment's adapters: of its own ones, then of training_data.negative_variants.

    A config from elsewhere may lack the keys.
    """
    block = config["training_data"]
    own = (block.get("negative_choice", "hash"), block["negative_personas"])
    return [own, *map(read_variant, block.get("negative_variants", ()))]


def by_closeness(choice, number):
    """Whether the base model's centroids decide which personas are a source's negatives."""
    return choice in get_args(Closeness) and number not in (0, "all")


def count_negatives(config, source, choice, number):
    """How many negatives a source has under a condition (see negative_conditions)."""
    block = config["training_data"]
    if choice == "list":
        return len(block["negative_lists"].get(source, ()))
    return len({*block["negative_pool"]} - {source}) if number == "all" else number


def compares_predictors(config):
    """Whether the predictors are compared. A config from elsewhere may lack the keys."""
    analysis = config.get("analysis", {})
    return bool(analysis.get("predictors") or analysis.get("divergence"))


def samples_replies(config):
    """Whether the behaviour is measured on sampled replies."""
    return trait(config["behaviour"], "samples_replies", True)


def forced_block(config):
    """evaluation.teacher_forced; False for a behaviour that has no text whose probability could be read."""
    return trait(config["behaviour"], "text_keys") is not None and config["evaluation"].get("teacher_forced", False)


def forced_draws(config):
    """How many replies of each persona and question the teacher-forced measure reads; None: all."""
    block = forced_block(config)
    return block["draws"] if isinstance(block, dict) else None


def forced_questions(config, count):
    """How many questions of a set of ``count`` the teacher-forced measure reads replies to, at most: the first ones."""
    block = forced_block(config)
    return min(block.get("questions") or count, count) if isinstance(block, dict) else count


def persona_problems(config, personas):
    """Unknown personas, sources outside the panel, too few bystanders or negatives."""
    chosen, candidates = config["personas"], config["training_data"]["negative_pool"]
    panel = panel_names(config, personas)
    lists = {"personas.sources": chosen["sources"], "personas.panel": panel, "training_data.negative_pool": candidates}
    for key, names in lists.items():
        for unknown in (name for name in names if name not in personas):
            yield f"{key}: '{unknown}' is not a persona of {chosen['file']}, nor of personas.add"
    for source in chosen["sources"]:
        if source not in panel:
            yield f"personas.sources: '{source}' is not in personas.panel"
        if source in RESERVED_SOURCES:
            yield f"personas.sources: '{source}' is a reserved name"
    if len(panel) < 4:
        yield f"personas.panel: has {len(panel)} personas; a correlation needs at least 4 (a source and 3 bystanders)"
    yield from negative_problems(config["training_data"], negative_conditions(config), chosen["sources"], panel)


def negative_problems(block, conditions, sources, panel):
    """More negatives than the pool holds, candidates without a centroid, lists that do not fit; ``block``: training_data."""
    keys = ["negative_personas", *(f"negative_variants: {text}" for text in block["negative_variants"])]
    for key, (choice, number) in zip(keys, conditions, strict=True):
        for source in sources:
            available = len({*block["negative_pool"]} - {source})
            if choice != "list" and number != "all" and number > available:
                yield (
                    f"training_data.{key}: is {number}, but training_data.negative_pool has only {available} personas besides '{source}';"
                    " lower it or add names to the pool"
                )
        if by_closeness(choice, number):
            for name in block["negative_pool"]:
                if name not in panel:
                    yield f"training_data.negative_pool: '{name}' is not in personas.panel; the choice {choice} needs its centroid"
    if conditions[0] in conditions[1:]:
        yield f"training_data.negative_variants: '{conditions[0][0]}{conditions[0][1]}' is the experiment's own choice; leave it out"
    lists, listed = block["negative_lists"], conditions[0][0] == "list"
    if lists and not listed:
        yield f"training_data.negative_lists: has no effect with negative_choice {conditions[0][0]}; set negative_choice to list"
    for source in sources if listed else ():
        if source not in lists:
            yield f"training_data.negative_lists: has no list for the source '{source}'; add {source}: [names], or {source}: [] for none"
    for source, names in lists.items() if listed else ():
        if source not in sources:
            yield f"training_data.negative_lists: '{source}' is not one of personas.sources ({', '.join(sources)})"
        for name in names:
            if name == source:
                yield f"training_data.negative_lists.{source}: '{name}' is the source itself; a source cannot be its own negative"
            elif name not in block["negative_pool"]:
                yield f"training_data.negative_lists.{source}: '{name}' is not in training_data.negative_pool; add it there"


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
    """What the kind of behaviour finds wrong with its block and the texts of the experiment, and settings that it cannot use."""
    behaviour = parse(KINDS[config["behaviour"]["kind"]], config["behaviour"], "behaviour")
    texts = [persona.prompt for persona in personas.values()] + [text for texts in question_sets.values() for text in texts]
    yield from behaviour.problems([*texts, config["questions"]["suffix"]])
    if config["labels"]["loss_on"] not in behaviour.losses:
        allowed = ", ".join(behaviour.losses)
        yield f"labels.loss_on: {config['labels']['loss_on']} does not train the behaviour '{behaviour.kind}'; use one of {allowed}"
    if getattr(behaviour, "needs_rows", False) and not config["training_data"]["rows"]:
        yield "training_data.rows: missing; this behaviour has no transform of base answers, so give a file of rows"
    yield from row_file_problems(config)
    of_replies = {"analysis.divergence": (config["analysis"]["divergence"], "null")}
    of_replies |= {"personas.no_persona_prompts": (config["personas"]["no_persona_prompts"], "[]")}
    sets = [use["set"] for use in config["questions"]["evaluation"]]
    if len(sets) > 1 and not samples_replies(config):
        yield f"questions.evaluation: the behaviour '{behaviour.kind}' asks items instead, the same for each of {sets}; list one set"
    if getattr(behaviour, "measure", "share") == "mean":
        yield from mean_problems(config)
    for key, (value, off) in of_replies.items():
        if value and not samples_replies(config):
            yield f"{key}: needs sampled replies, and the behaviour '{behaviour.kind}' samples none; set it to {off}"


def mean_problems(config):
    """Settings that compare shares of replies, and question sets too small for the error of a mean score."""
    for key, off in (("controls", "[]"), ("negative_variants", "[]")):
        if config["training_data"][key]:
            yield f"training_data.{key}: compares shares of replies, but behaviour.measure is mean; set it to {off}, or use measure: share"
    if config.get("predict_from"):
        yield "predict_from: predicts shares of replies, but behaviour.measure is mean; leave it out, or use measure: share"
    for index, use in enumerate(config["questions"]["evaluation"]):
        if use["count"] < FEWEST_QUESTIONS:
            yield (
                f"questions.evaluation.{index}.count: is {use['count']}; behaviour.measure mean needs at least {FEWEST_QUESTIONS},"
                " because the interval of a mean score is drawn over questions"
            )


def row_file_problems(config):
    """Keys of row files that the config cannot use."""
    block, behaviour = config["training_data"], config["behaviour"]
    if block["rows"] and not samples_replies(config):
        yield f"training_data.rows: the behaviour '{behaviour['kind']}' makes rows of its items; set it to null"
    if block["rows"] and behaviour.get("transform"):
        yield f"training_data.rows: behaviour.transform '{behaviour['transform']}' makes rows of base answers; set one of them to null"
    for key in ("clean_rows", "positives"):
        if block[key] and not block["rows"]:
            yield f"training_data.{key}: has no effect without training_data.rows; set it to null"


def size_problems(config):
    """An answer that cannot fit into a row, replies that are read but not sampled, the name of the folder of comparisons."""
    longest, answer = config["training"]["max_length"], config["training_data"]["sampling"]["max_new_tokens"]
    if longest <= answer:
        yield f"training.max_length: {longest} must be greater than training_data.sampling.max_new_tokens ({answer})"
    drawn, draws, divergence = config["evaluation"]["samples_per_question"], forced_draws(config), config["analysis"]["divergence"]
    replies = divergence and divergence["replies_per_question"]
    read = {"evaluation.teacher_forced.draws": draws, "analysis.divergence.replies_per_question": replies}
    for key, wanted in read.items():
        if wanted and wanted > drawn:
            yield f"{key}: {wanted} is more than evaluation.samples_per_question ({drawn})"
    if config["training"].get("snapshots") and not forced_block(config):
        kinds = " and ".join(repr(name) for name, model in KINDS.items() if hasattr(model, "text_keys"))
        why = "set it, too" if trait(config["behaviour"], "text_keys") else f"it exists for the behaviour {kinds} only"
        yield f"training.snapshots: {config['training']['snapshots']} needs evaluation.teacher_forced ({why}); or set it to 0"
    if config["experiment"] == COMPARISON:
        yield f"experiment: '{COMPARISON}' is the folder of comparisons under results/; choose another name"


def model_problems(model):
    """A model folder that is not there."""
    if model["source"] == "path" and not Path(model["location"]).expanduser().is_dir():
        yield f"model.location: '{model['location']}' is not a folder"
