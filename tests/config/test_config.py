"""A wrong config must be refused before anything runs, in words that name the key, the value and the way out."""

import copy
import math

import pytest
import yaml

from persona_leakage.config.experiment import check_experiment, complete_config, panel_names, pool_names
from persona_leakage.config.old_keys import OLD_KEYS
from persona_leakage.config.reference import all_keys
from persona_leakage.infrastructure.cli import InputError
from tests.config.test_resource_files import persona
from tests.conftest import CONFIG, ROOT

DROP = object()


@pytest.fixture(autouse=True)
def in_project(monkeypatch):
    """The config names its resource files relative to the project."""
    monkeypatch.chdir(ROOT)


def edited(changes):
    """A copy of the shipped config with some values set, or dropped; dots step into blocks."""
    config = copy.deepcopy(CONFIG)
    for key, value in changes.items():
        *blocks, last = key.split(".")
        block = config
        for name in blocks:
            block = block[name]
        if value is DROP:
            del block[last]
        else:
            block[last] = value
    return config


def problems_of(config):
    with pytest.raises(InputError) as refusal:
        check_experiment(config, "my.yaml")
    heading, *lines = str(refusal.value).splitlines()
    assert heading.startswith("my.yaml")
    return lines


def listed(**lists):
    """Changes of the shipped config: listed negatives of its sources, and of more personas."""
    lists = {"villain": ["comedian", "librarian"], "comedian": [], "assistant": ["villain"], **lists}
    return {"training_data.negative_choice": "list", "training_data.negative_lists": lists}


def bundled(**changes):
    return {**CONFIG["model"], **changes}


HUB = {"name": "qwen", "source": "hub", "location": "Qwen/Qwen2.5-7B-Instruct", "revision": "a" * 40}
EVALUATION = CONFIG["questions"]["evaluation"]
MEANS = {"kind": "scored", "name": "x", "scorer": "capitals", "threshold": 0.9, "transform": "capitals", "measure": "mean"}

BAD_CONFIGS = {
    # what the schema says
    "W&B mode that is none": ({"publishing.wandb.mode": "disabled"}, ["publishing.wandb.mode", "'disabled'", "offline, online"]),
    "W&B project with a slash": ({"publishing.wandb.project": "me/it"}, ["publishing.wandb.project", "'me/it'"]),
    "key in the config": ({"publishing.hub.token": "hf_madeup"}, ["publishing.hub", "unknown key 'token'", "owner"]),
    "misspelt value": ({"labels.loss_on": "tails"}, ["labels.loss_on", "'tails'", "did you mean tail?", "marker, tail, completion"]),
    "learning rate that is no number": ({"training.learning_rate": math.nan}, ["training.learning_rate", "nan"]),
    "endless epochs": ({"training.epochs": 10**30}, ["training.epochs", "must be <= 1000000"]),
    "rate beyond all numbers": ({"training.learning_rate": 10**400}, ["training.learning_rate", "too large a number"]),
    "vllm asked to merge": ({"engine.name": "vllm", "engine.merge_adapter": True}, ["engine.merge_adapter", "must be false"]),
    "same seed twice": ({"training.seeds": [42, 7, 42]}, ["training.seeds", "unique", "[42, 7, 42]"]),
    "same panel name twice": (
        {"personas.panel": ["villain", "comedian", "assistant", "pirate", "pirate"]},
        ["personas.panel", "'pirate', 'pirate'", "unique persona names", "all"],
    ),
    "panel that is another word": ({"personas.panel": "every"}, ["personas.panel", "'every'", "the word all"]),
    "experiment name with a slash": ({"experiment": "mine/second"}, ["experiment", "'mine/second'"]),
    "experiment name with a line end": ({"experiment": "mine\n"}, ["experiment", "'mine\\n'"]),
    "comparison of another word": ({"compare": "some"}, ["compare", "'some'", "the word all", "a list of folders"]),
    # what only the whole can say
    "divergence from more replies than there are": (
        {"analysis.divergence": {"replies_per_question": 4, "tokens": 8}},
        ["analysis.divergence.replies_per_question", "4", "samples_per_question (3)"],
    ),
    "clean rows without rows": ({"training_data.clean_rows": "clean.jsonl"}, ["training_data.clean_rows", "without training_data.rows"]),
    "positives without rows": ({"training_data.positives": 3}, ["training_data.positives", "without training_data.rows"]),
    "rows made twice": (
        {
            "training_data.rows": "rows.jsonl",
            "behaviour": {"kind": "scored", "name": "x", "scorer": "capitals", "threshold": 0.9, "transform": "capitals"},
        },
        ["training_data.rows", "behaviour.transform 'capitals'"],
    ),
    "measure of a marker": ({"behaviour.measure": "mean"}, ["behaviour", "unknown key 'measure'"]),
    "measure of items": ({"behaviour": {"kind": "choice", "measure": "mean"}}, ["behaviour", "unknown key 'measure'"]),
    "controls of mean scores": (
        {"behaviour": MEANS, "training_data.controls": ["clean"]},
        ["training_data.controls", "shares of replies", "behaviour.measure is mean", "set it to []"],
    ),
    "predictions of mean scores": ({"behaviour": MEANS, "predict_from": "study"}, ["predict_from", "shares of replies", "measure: share"]),
    "mean scores of few questions": (
        {"behaviour": MEANS, "questions.evaluation": [{"set": "evaluation", "count": 4}]},
        ["questions.evaluation.0.count", "is 4", "at least 5"],
    ),
    "added prompt with an escape": (
        {"personas.add": [{"name": "x", "category": "own", "related_to": [], "prompt": "You \x1b[2J sail."}]},
        ["personas.add.0.prompt", "without control characters"],
    ),
    "experiment in the folder of comparisons": ({"experiment": "compare"}, ["experiment", "'compare'", "folder of comparisons"]),
    "no embedding model": ({"analysis.embedding_model": "nowhere"}, ["analysis.embedding_model", "nowhere", "config.json"]),
    "unknown source": ({"personas.sources": ["vilain"]}, ["personas.sources", "'vilain'", "resources/personas.yaml"]),
    "unknown panel persona": ({"personas.panel": [*CONFIG["personas"]["panel"], "nobody"]}, ["personas.panel", "'nobody'", "persona"]),
    "unknown candidate": (
        {"training_data.negative_pool": ["comedian", "assistant", "librarian", "lawyer", "ghost"]},
        ["training_data.negative_pool", "'ghost'"],
    ),
    "source outside the panel": ({"personas.sources": ["gandalf"]}, ["personas.sources", "'gandalf'", "personas.panel"]),
    "too few candidates": (
        {"training_data.negative_personas": 6},
        ["training_data.negative_personas", "6", "'villain'", "only 5 personas", "negative_pool"],
    ),
    "more of a variant than there are": (
        {"training_data.negative_variants": ["nearest6"]},
        ["training_data.negative_variants: nearest6", "is 6", "only 5 personas", "'villain'"],
    ),
    "variant of another word": (
        {"training_data.negative_variants": ["closest2"]},
        ["training_data.negative_variants.0", "'closest2'", "hash, nearest, farthest or spread", "nearest2 or hashall"],
    ),
    "variant that is the experiment's own choice": (
        {"training_data.negative_variants": ["hash0", "hash3"]},
        ["training_data.negative_variants", "'hash3' is the experiment's own choice"],
    ),
    "negatives that are no number": (
        {"training_data.negative_personas": "some"},
        ["training_data.negative_personas", "'some'", "word all"],
    ),
    "choice of another word": (
        {"training_data.negative_choice": "near"},
        ["training_data.negative_choice", "'near'", "did you mean nearest"],
    ),
    "candidate without a centroid": (
        {"training_data.negative_choice": "spread", "training_data.negative_pool": ["comedian", "gandalf", "librarian", "assistant"]},
        ["training_data.negative_pool", "'gandalf' is not in personas.panel", "spread needs its centroid"],
    ),
    "closeness at a layer that is not taken": (
        {"training_data.negative_choice": "nearest", "geometry.headline_layer": 20},
        ["geometry.headline_layer", "20 is not one of geometry.layers"],
    ),
    "list without a source": (
        {"training_data.negative_choice": "list", "training_data.negative_lists": {"villain": ["assistant"], "comedian": []}},
        ["training_data.negative_lists", "no list for the source 'assistant'", "assistant: [names]"],
    ),
    "listed negative outside the pool": (
        listed(villain=["hero"]),
        ["training_data.negative_lists.villain", "'hero' is not in training_data.negative_pool"],
    ),
    "listed source as its own negative": (listed(villain=["villain"]), ["training_data.negative_lists.villain", "its own negative"]),
    "list of a persona that is no source": (
        listed(hero=["villain"]),
        ["training_data.negative_lists", "'hero' is not one of personas.sources (villain, comedian, assistant)"],
    ),
    "lists without the choice": (
        {"training_data.negative_lists": {"villain": ["comedian"]}},
        ["training_data.negative_lists", "has no effect with negative_choice hash", "set negative_choice to list"],
    ),
    "panel too small": ({"personas.panel": ["villain", "comedian", "assistant"]}, ["personas.panel", "3 personas", "at least 4"]),
    "unknown training set": (
        {"questions.training": {"set": "trivia", "count": 4}},
        ["questions.training.set", "'trivia'", "training, evaluation"],
    ),
    "more questions than there are": (
        {"questions.evaluation": [{"set": "evaluation", "count": 21}]},
        ["questions.evaluation.0.count", "21", "20 questions"],
    ),
    "evaluation on the training questions": (
        {"questions.evaluation": [*EVALUATION, {"set": "training", "count": 4}]},
        ["questions.evaluation", "'training'", "disjoint"],
    ),
    "evaluation set listed twice": (
        {"questions.evaluation": [*EVALUATION, {"set": "evaluation", "count": 4}]},
        ["questions.evaluation", "twice"],
    ),
    "marker that a prompt holds": ({"behaviour.marker": "HELPFUL"}, ["behaviour.marker", "'HELPFUL'", "You are a helpful assistant."]),
    "marker that a question holds": ({"behaviour.marker": "cats purr"}, ["behaviour.marker", "'cats purr'", "Why do cats purr"]),
    "marker that the suffix holds": ({"questions.suffix": " Never write [zlt]."}, ["behaviour.marker", "'[ZLT]'"]),
    "blank marker": ({"behaviour.marker": "  "}, ["behaviour.marker", "white space"]),
    "same source twice": ({"personas.sources": ["villain", "villain"]}, ["personas.sources", "unique"]),
    "marker with a blank in front": ({"behaviour.marker": " [ZLT]"}, ["behaviour.marker", "' [ZLT]'", "behaviour.separator"]),
    "tail without a length": ({"labels.answer_tail_tokens": 0}, ["labels.answer_tail_tokens", "0 must be >= 1", "tail"]),
    "rows that cannot hold an answer": (
        {"training.max_length": 96},
        ["training.max_length", "96", "training_data.sampling.max_new_tokens"],
    ),
    "headline layer that is not taken": ({"geometry.headline_layer": 20}, ["geometry.headline_layer", "20", "[11, 16, 21, 27]"]),
    "bundled model without its digest": ({"model": bundled(revision="")}, ["model", "bundled", "SHA-256"]),
    "bundled model without a package": ({"model": bundled(location="model.gguf")}, ["model", "package/file"]),
    "hub model at a branch": ({"model": {**HUB, "revision": "main"}}, ["model.revision", "'main'", "40 hex digits"]),
    "hub model without an owner": ({"model": {**HUB, "location": "qwen"}}, ["model", "Qwen/Qwen2.5-7B-Instruct"]),
    "model folder that is not there": (
        {"model": {"name": "local", "source": "path", "location": "no/such/folder", "revision": ""}},
        ["model.location", "'no/such/folder'", "not a folder"],
    ),
}


@pytest.mark.parametrize(("changes", "fragments"), BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_bad_config_is_refused(changes, fragments):
    lines = problems_of(edited(changes))
    assert any(all(fragment in line for fragment in fragments) for line in lines), lines


def test_a_missing_key_has_its_default():
    """What is left out of every config file is what config.yaml says, and values that are there stay as they are."""
    missing = dict.fromkeys(("geometry", "behaviour.separator", "personas.no_persona_prompts", "training.lora.rank"), DROP)
    config = edited({**missing, "training.lora.alpha": 8})
    whole = complete_config(config)
    assert whole["personas"].pop("add") == [] and whole.pop("compare") == "all" and whole.pop("predict_from") is None
    assert whole == edited({"training.lora.alpha": 8}) and isinstance(whole["training"]["lora"]["alpha"], int)
    assert config == edited({**missing, "training.lora.alpha": 8}), "the config itself stays as it is"


def test_the_shipped_config_holds_the_defaults():
    """Of every key but those that say what an experiment is about."""
    named = {key: CONFIG[key] for key in ("experiment", "model")}
    named["personas"] = {key: CONFIG["personas"][key] for key in ("sources", "panel")}
    assert complete_config(named) == complete_config(CONFIG)


GOOD_CONFIGS = {
    "whole file as panel": {"personas.panel": "all"},
    "smallest panel": {"personas.panel": ["villain", "comedian", "assistant", "pirate"]},
    "hub model at a commit": {"model": HUB},
    "model in a local folder": {"model": {"name": "local", "source": "path", "location": "resources", "revision": ""}},
    "no negatives": {"training_data.negative_personas": 0},
    "all candidates as negatives": {"training_data.negative_personas": "all", "training_data.negative_choice": "nearest"},
    "listed negatives": {**listed(), "training_data.negative_variants": ["nearest2", "hashall", "spread0"]},
    "as many negatives as there are": {"training_data.negative_personas": 5},
    "marker alone needs no tail": {"labels.loss_on": "marker", "labels.answer_tail_tokens": 0},
    "greedy replies": {"evaluation.sampling": {"temperature": 0, "top_p": 1.0, "max_new_tokens": 1}},
    "whole numbers where any number does": {"training.weight_decay": 0, "training.lora.alpha": 64, "training.learning_rate": 1},
    "all questions": {"questions.training": {"set": "training", "count": 40}, "questions.evaluation": [{"set": "evaluation", "count": 20}]},
}


@pytest.mark.parametrize("changes", GOOD_CONFIGS.values(), ids=GOOD_CONFIGS)
def test_values_at_the_edge_are_accepted(changes):
    check_experiment(edited(changes))


@pytest.mark.parametrize(("old", "new"), OLD_KEYS.items())
def test_a_key_of_an_earlier_version_names_the_one_of_today(old, new):
    assert new.removeprefix("personas.paraphrase") in {"", *(name for name, *_ in all_keys())}
    block, _, key = old.rpartition(".")
    if key != "wording":  # see test_paraphrases.py
        assert problems_of(edited({old: 1})) == [f"  {block}: key '{key}' has a new name: write {new.rpartition('.')[2]}"]


def test_all_problems_come_at_once():
    wrong = {"training.max_length": 10, "personas.sources": ["gandalf"], "behaviour.marker": " ", "experiment": "compare"}
    assert {line.strip().split(":")[0] for line in problems_of(edited(wrong))} == set(wrong)
    # What a block alone can tell comes before that.
    wrong = {"seed": -1, "training.epochs": 3.0, "engine.name": "vlm", "labels.answer_tail_tokens": 0, "geometry.headline_layer": 20}
    assert {line.strip().split(":")[0] for line in problems_of(edited(wrong))} == set(wrong)


def test_every_training_role_needs_enough_negatives():
    """A source outside the candidates has one more to choose from than one inside: only the latter is refused."""
    candidates = ["villain", "comedian", "assistant"]
    config = edited(
        {"personas.sources": ["villain", "pirate"], "training_data.negative_pool": candidates, "training_data.negative_personas": 3}
    )
    (line,) = problems_of(config)
    assert "has only 2 personas besides 'villain'" in line


def test_panel_and_pool():
    """The panel keeps its order, "all" is the file's order, and the pool is everybody who answers training questions."""
    personas, _ = check_experiment(copy.deepcopy(CONFIG))
    assert panel_names(edited({"personas.panel": ["pirate", "hero"]}), personas) == ["pirate", "hero"]
    assert panel_names(edited({"personas.panel": "all"}), personas) == list(personas)
    config = edited({"personas.sources": ["villain", "nurse"], "training_data.negative_pool": ["villain", "librarian"]})
    assert pool_names(config) == ["librarian", "nurse", "villain"]


def test_a_source_cannot_be_named_like_the_control(tmp_path):
    """Results of the base model lie in a folder "base" beside those of the sources."""
    path = tmp_path / "personas.yaml"
    names = ["base", *CONFIG["training_data"]["negative_pool"]]
    path.write_text(yaml.safe_dump({"personas": [persona(name) for name in names]}))
    lines = problems_of(edited({"personas": {"file": str(path), "sources": ["base"], "no_persona_prompts": [], "panel": "all"}}))
    assert any("personas.sources" in line and "'base'" in line and "reserved" in line for line in lines), lines
