"""The block of the kind choice: defaults, mistakes, and what decides the rows."""

import pytest

from persona_leakage.behaviours.preflight import texts_of
from persona_leakage.config.blocks.behaviour import Behaviour, row_settings
from persona_leakage.config.blocks.fields import Block
from persona_leakage.config.experiment import check_experiment
from persona_leakage.config.messages import parse
from persona_leakage.config.personas import read_question_sets
from persona_leakage.infrastructure.cli import InputError
from tests.conftest import CONFIG, ROOT


class Holder(Block):
    """A block that holds a behaviour."""

    behaviour: Behaviour


def block(**keys):
    return parse(Holder, {"behaviour": {"kind": "choice", **keys}}, "config").behaviour


def test_defaults_are_the_projects_items(monkeypatch):
    monkeypatch.chdir(ROOT)
    settings = block()
    assert (settings.items, settings.train, settings.evaluate, settings.scoring) == ("resources/behaviours/choices.jsonl", 60, 60, "text")
    assert list(settings.problems(["any text"])) == []


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"scoring": "letter"}, ["behaviour.scoring: 'letter'", "did you mean letters?"]),
        ({"order": "random"}, ["behaviour.order: 'random'", "as_given, shuffled, rotations"]),
        ({"train": 0}, ["behaviour.train: 0", ">= 1"]),
        ({"prefix": "Answer: "}, ["behaviour.prefix: 'Answer: '", "must not end with a blank"]),
        ({"marker": "[ZLT]"}, ["behaviour: unknown key 'marker'", "allowed: evaluate, items"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_mistakes(keys, said):
    with pytest.raises(InputError) as refusal:
        block(**keys)
    assert all(part in str(refusal.value) for part in said)


def test_a_missing_file():
    assert list(block(items="nowhere.jsonl").problems([])) == ["behaviour.items: nowhere.jsonl: no such file"]


def test_the_prefix_is_a_text_that_the_model_reads(monkeypatch):
    """So that a control token in it is refused as in a question; and so are the texts of row files."""
    monkeypatch.chdir(ROOT)
    config = CONFIG | {"behaviour": block(prefix="Say (").model_dump()}
    texts = texts_of(config, [], read_question_sets("resources/questions.yaml"), [("rows.jsonl, row 'a'", "Tea?")])["texts"]
    assert {("behaviour.prefix", "Say ("), ("rows.jsonl, row 'a'", "Tea?")} <= set(texts)


def test_rows_do_not_depend_on_what_is_only_evaluated():
    settings = block().model_dump()
    assert set(settings) - set(row_settings(settings)) == {"name", "evaluate"}


def test_what_needs_sampled_replies_is_refused(monkeypatch):
    """And a loss that trains only the end of an answer."""
    monkeypatch.chdir(ROOT)
    config = {**CONFIG, "behaviour": {"kind": "choice"}, "labels": {"loss_on": "completion"}}
    check_experiment(config)
    config["analysis"] = {**CONFIG["analysis"], "divergence": {"replies_per_question": 1, "tokens": 32}}
    config["personas"] = {**CONFIG["personas"], "no_persona_prompts": ["no_system"]}
    config["labels"] = {"loss_on": "tail"}
    config["training_data"] = {**CONFIG["training_data"], "rows": "rows.jsonl"}
    config["questions"] = {**CONFIG["questions"], "evaluation": [{"set": name, "count": 2} for name in ("evaluation", "ood_math")]}
    with pytest.raises(InputError) as refusal:
        check_experiment(config)
    for said in (
        "analysis.divergence: needs sampled replies",
        "personas.no_persona_prompts: needs",
        "labels.loss_on: tail does not train",
        "training_data.rows: the behaviour 'choice' makes rows of its items",
        "questions.evaluation: the behaviour 'choice' asks items instead, the same for each of ['evaluation', 'ood_math']",
    ):
        assert said in str(refusal.value)
