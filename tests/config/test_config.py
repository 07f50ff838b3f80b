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
    """The lines of the refusal, without the heading."""
    with pytest.raises(InputError) as refusal:
        check_experiment(config, "my.yaml")
    heading, *lines = str(refusal.value).splitlines()
    assert heading.startswith("my.yaml")
    return lines


def bundled(**changes):
    """A model block, all keys present."""
    return {**CONFIG["model"], **changes}


HUB = {"name": "qwen", "source": "hub", "location": "Qwen/Qwen2.5-7B-Instruct", "revision": "a" * 40}
EVALUATION = CONFIG["questions"]["evaluation"]

BAD_CONFIGS = {
    # what the schema says
    "W&B mode that is none": ({"publishing.wandb.mode": "disabled"}, ["publishing.wandb.mode", "'disabled'", "offline, online"]),
    "no W&B project": ({"publishing.wandb.project": ""}, ["publishing.wandb.project", "''"]),
    "W&B project with a slash": ({"publishing.wandb.project": "me/it"}, ["publishing.wandb.project", "'me/it'"]),
    "key in the config": ({"publishing.hub.token": "hf_madeup"}, ["publishing.hub", "unknown key 'token'", "owner"]),
    "hub owner with a name": ({"publishing.hub.owner": "me/it"}, ["publishing.hub.owner", "'me/it'"]),
    "unknown key at the top": ({"learning_rat": 1}, ["unknown key 'learning_rat'", "allowed:", "labels"]),
    "unknown key in a block": ({"training.lr": 0.1}, ["training", "unknown key 'lr'", "learning_rate"]),
    "misspelt key": ({"training.learning_rat": 0.1}, ["training", "unknown key 'learning_rat'", "did you mean learning_rate?"]),
    "misspelt value": ({"labels.loss_on": "tails"}, ["labels.loss_on", "'tails'", "did you mean tail?", "marker, tail, completion"]),
    "unknown key two blocks deep": ({"training.lora.r": 8}, ["training.lora", "unknown key 'r'", "rank"]),
    "missing block": ({"model": DROP}, ["missing key 'model'"]),
    "missing key in a block": ({"personas.panel": DROP}, ["personas", "missing key 'panel'"]),
    "missing key in a list": ({"questions.evaluation": [{"set": "evaluation"}]}, ["questions.evaluation.0", "missing key 'count'"]),
    "learning rate that YAML reads as text": ({"training.learning_rate": "1e-4"}, ["training.learning_rate", "'1e-4'", "1.0e-4"]),
    "learning rate of zero": ({"training.learning_rate": 0}, ["training.learning_rate", "0 must be > 0"]),
    "learning rate above one": ({"training.learning_rate": 5}, ["training.learning_rate", "5 must be <= 1"]),
    "learning rate that is no number": ({"training.learning_rate": math.nan}, ["training.learning_rate", "nan"]),
    "infinite alpha": ({"training.lora.alpha": math.inf}, ["training.lora.alpha", "inf"]),
    "negative seed": ({"seed": -1}, ["seed", "-1 must be >= 0"]),
    "seed as text": ({"seed": "42"}, ["seed", "'42'", "integer"]),
    "endless epochs": ({"training.epochs": 10**30}, ["training.epochs", "must be <= 1000000"]),
    "endless draws": ({"evaluation.samples_per_question": 10**9}, ["evaluation.samples_per_question", "must be <= 1000000"]),
    "rate beyond all numbers": ({"training.learning_rate": 10**400}, ["training.learning_rate", "too large a number"]),
    "block as a list": ({"training.lora": [1, 2]}, ["training.lora", "[1, 2]", "object"]),
    "block that is nothing": ({"engine": None}, ["engine", "None", "object"]),
    "text as a number": ({"behaviour.separator": 3}, ["behaviour.separator", "3", "string"]),
    "text as a list": ({"questions.suffix": ["x"]}, ["questions.suffix", "['x']", "string"]),
    "truth value as text": ({"training.lora.rslora": "yes"}, ["training.lora.rslora", "'yes'", "boolean"]),
    "no epochs": ({"training.epochs": 0}, ["training.epochs", "0 must be >= 1"]),
    "epochs with a decimal point": ({"training.epochs": 3.0}, ["training.epochs", "3.0", "integer"]),
    "draws as a truth value": ({"evaluation.samples_per_question": True}, ["evaluation.samples_per_question", "True", "integer"]),
    "dropout of one": ({"training.lora.dropout": 1.0}, ["training.lora.dropout", "1.0 must be < 1"]),
    "no nucleus": ({"evaluation.sampling.top_p": 0.0}, ["evaluation.sampling.top_p", "0.0 must be > 0"]),
    "temperature too high": ({"training_data.sampling.temperature": 3}, ["training_data.sampling.temperature", "3 must be <= 2"]),
    "unknown loss scope": ({"labels.loss_on": "all"}, ["labels.loss_on", "'all'", "marker, tail, completion"]),
    "unknown end target": ({"labels.turn_end_target": "stop"}, ["labels.turn_end_target", "'stop'", "eos, newline, both"]),
    "unknown engine": ({"engine.name": "vlm"}, ["engine.name", "'vlm'", "auto, transformers"]),
    "vllm asked to merge": ({"engine.name": "vllm", "engine.merge_adapter": True}, ["engine.merge_adapter", "must be false"]),
    "unknown detector": ({"behaviour.match_mode": "regex"}, ["behaviour.match_mode", "'regex'", "literal, any_case, tokens"]),
    "unknown precision": ({"engine.precision": "int8"}, ["engine.precision", "'int8'", "bfloat16"]),
    "unknown model source": ({"model.source": "web"}, ["model.source", "'web'", "bundled, hub, path"]),
    "same seed twice": ({"training.seeds": [42, 7, 42]}, ["training.seeds", "unique", "[42, 7, 42]"]),
    "no seed": ({"training.seeds": []}, ["training.seeds", "at least 1"]),
    "same layer twice": ({"geometry.layers": [21, 21]}, ["geometry.layers", "unique"]),
    "same panel name twice": (
        {"personas.panel": ["villain", "comedian", "assistant", "pirate", "pirate"]},
        ["personas.panel", "'pirate', 'pirate'", "unique persona names", "all"],
    ),
    "panel that is another word": ({"personas.panel": "every"}, ["personas.panel", "'every'", "the word all"]),
    "same source twice": ({"personas.sources": ["villain", "villain"]}, ["personas.sources", "unique"]),
    "experiment name with a slash": ({"experiment": "mine/second"}, ["experiment", "'mine/second'"]),
    "experiment name that climbs": ({"experiment": ".."}, ["experiment", "'..'"]),
    "experiment name with a line end": ({"experiment": "mine\n"}, ["experiment", "'mine\\n'"]),
    "category size too small to correlate": ({"analysis.min_category_size": 2}, ["analysis.min_category_size", "2 must be >= 3"]),
    "too few permutations for a p-value": ({"analysis.permutations": 50}, ["analysis.permutations", "50 must be >= 99"]),
    "too few bootstraps": ({"analysis.bootstraps": 10}, ["analysis.bootstraps", "10 must be >= 200"]),
    "divergence that is only switched on": ({"analysis.divergence": True}, ["analysis.divergence", "True", "(object) or null"]),
    "divergence without its tokens": (
        {"analysis.divergence": {"replies_per_question": 1}},
        ["analysis.divergence", "missing key 'tokens'"],
    ),
    "predictors as text": ({"analysis.predictors": "on"}, ["analysis.predictors", "'on'", "boolean"]),
    "comparison of another word": ({"compare": "some"}, ["compare", "'some'", "the word all", "a list of folders"]),
    # what only the whole can say
    "divergence from more replies than there are": (
        {"analysis.divergence": {"replies_per_question": 4, "tokens": 8}},
        ["analysis.divergence.replies_per_question", "4", "samples_per_question (3)"],
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
        ["training_data.negative_personas", "6", "'villain'", "only 5", "negative_pool"],
    ),
    "panel too small": ({"personas.panel": ["villain", "comedian", "assistant"]}, ["personas.panel", "3 personas", "at least 4"]),
    "unknown training set": (
        {"questions.training": {"set": "trivia", "count": 4}},
        ["questions.training.set", "'trivia'", "training, evaluation"],
    ),
    "unknown evaluation set": (
        {"questions.evaluation": [*EVALUATION, {"set": "quiz", "count": 4}]},
        ["questions.evaluation.1.set", "'quiz'"],
    ),
    "more questions than there are": (
        {"questions.evaluation": [{"set": "evaluation", "count": 21}]},
        ["questions.evaluation.0.count", "21", "20 questions"],
    ),
    "more training questions than there are": (
        {"questions.training": {"set": "training", "count": 41}},
        ["questions.training.count", "41", "40"],
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
    "marker with a blank in front": ({"behaviour.marker": " [ZLT]"}, ["behaviour.marker", "' [ZLT]'", "behaviour.separator"]),
    "blank marker": ({"behaviour.marker": "  "}, ["behaviour.marker", "white space"]),
    "tail without a length": ({"labels.answer_tail_tokens": 0}, ["labels.answer_tail_tokens", "0 must be >= 1", "tail"]),
    "rows that cannot hold an answer": (
        {"training.max_length": 96},
        ["training.max_length", "96", "training_data.sampling.max_new_tokens"],
    ),
    "headline layer that is not taken": ({"geometry.headline_layer": 20}, ["geometry.headline_layer", "20", "[11, 16, 21, 27]"]),
    "bundled model without its digest": ({"model": bundled(revision="")}, ["model", "bundled", "SHA-256"]),
    "bundled model with a digest that is no hex": ({"model": bundled(revision="z" * 64)}, ["model", "SHA-256"]),
    "bundled model without a package": ({"model": bundled(location="model.gguf")}, ["model", "package/file"]),
    "hub model at a branch": ({"model": {**HUB, "revision": "main"}}, ["model.revision", "'main'", "40 hex digits"]),
    "hub model at a commit that is no hex": ({"model": {**HUB, "revision": "z" * 40}}, ["model.revision", "40 hex digits"]),
    "hub model without an owner": ({"model": {**HUB, "location": "qwen"}}, ["model", "Qwen/Qwen2.5-7B-Instruct"]),
    "model folder that is not there": (
        {"model": {"name": "local", "source": "path", "location": "no/such/folder", "revision": ""}},
        ["model.location", "'no/such/folder'", "not a folder"],
    ),
}


def test_shipped_config_is_valid():
    """Otherwise every refusal below would prove nothing; and the two results are the resource files."""
    personas, question_sets = check_experiment(copy.deepcopy(CONFIG))
    assert set(CONFIG["personas"]["panel"]) <= set(personas)
    assert {"training", "evaluation"} <= set(question_sets)


@pytest.mark.parametrize(("changes", "fragments"), BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_bad_config_is_refused(changes, fragments):
    """One of the lines holds the key, the value and what is allowed together."""
    lines = problems_of(edited(changes))
    assert any(all(fragment in line for fragment in fragments) for line in lines), lines


def test_a_missing_key_has_its_default():
    """What is left out of every config file is what config.yaml says, and values that are there stay as they are."""
    missing = dict.fromkeys(("geometry", "behaviour.separator", "personas.no_persona_prompts", "training.lora.rank"), DROP)
    config = edited({**missing, "training.lora.alpha": 8})
    whole = complete_config(config)
    assert whole["personas"].pop("add") == [] and whole.pop("compare") == "all"
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
    "as many negatives as there are": {"training_data.negative_personas": 5},
    "marker alone needs no tail": {"labels.loss_on": "marker", "labels.answer_tail_tokens": 0},
    "greedy replies": {"evaluation.sampling": {"temperature": 0, "top_p": 1.0, "max_new_tokens": 1}},
    "whole numbers where any number does": {"training.weight_decay": 0, "training.lora.alpha": 64, "training.learning_rate": 1},
    "all questions": {"questions.training": {"set": "training", "count": 40}, "questions.evaluation": [{"set": "evaluation", "count": 20}]},
}


@pytest.mark.parametrize("changes", GOOD_CONFIGS.values(), ids=GOOD_CONFIGS)
def test_values_at_the_edge_are_accepted(changes):
    """The limits refuse nothing that is allowed."""
    check_experiment(edited(changes))


@pytest.mark.parametrize(("old", "new"), OLD_KEYS.items())
def test_a_key_of_an_earlier_version_names_the_one_of_today(old, new):
    assert new.removeprefix("personas.paraphrase") in {"", *(name for name, *_ in all_keys())}
    block, _, key = old.rpartition(".")
    if key != "wording":  # see test_wordings.py
        assert problems_of(edited({old: 1})) == [f"  {block}: key '{key}' has a new name: write {new.rpartition('.')[2]}"]


def test_all_problems_come_at_once():
    """Nobody should have to start a run once for each mistake."""
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
    assert "'villain' has only 2" in line


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
