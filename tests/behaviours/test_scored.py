"""The kind scored: each scorer against labels by hand, rows and cells of a scored behaviour, and configs that are refused."""

import copy
import json
import re

import pytest
from snakemake.utils import update_config

from persona_leakage.behaviours.base import behaviour_of_result
from persona_leakage.behaviours.kinds.scored import read
from persona_leakage.config.config_parts import resolve_config
from persona_leakage.config.experiment import check_experiment
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.models.chat_template import encode_reply
from persona_leakage.models.loading import load_tokenizer
from tests.conftest import CONFIG, ROOT

GOLD = ROOT / "resources/behaviours/gold"
CAPITALS = {"kind": "scored", "name": "capitals", "scorer": "capitals", "threshold": 0.9, "direction": "high", "transform": "capitals"}


def reply(text, question="q", finish_reason="stop"):
    return {"persona": "villain", "question": question, "text": text, "token_ids": text.split(), "finish_reason": finish_reason}


def gold(name):
    return [json.loads(line) for line in (GOLD / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


# Replies that a scorer gets wrong, of those labelled by hand: shown but not labelled, labelled but not shown. docs/behaviours.md has them.
ERRORS = {"capitals": (0.9, 0, 0), "bullets": (0.5, 0, 1), "refusal": (1, 0, 0)}


@pytest.mark.parametrize("scorer", ERRORS)
def test_a_scorer_agrees_with_labels_by_hand(scorer):
    threshold, wrongly, missed = ERRORS[scorer]
    behaviour = read(CAPITALS | {"scorer": scorer, "threshold": threshold}, None)
    found = [(behaviour.shows(reply(row["text"])), row["label"]) for row in gold(scorer)]
    assert len(found) >= 40 and {label for _, label in found} == {True, False}
    assert (found.count((True, False)), found.count((False, True))) == (wrongly, missed)
    page = (ROOT / "docs/behaviours.md").read_text(encoding="utf-8")
    assert f"| `{scorer}` | {len(found)} | {wrongly} | {missed} |" in page


def test_languages_are_told_and_short_replies_are_undecided():
    rows = gold("language")
    languages = sorted({row["label"] for row in rows} - {None})
    for language in languages:
        score = read(CAPITALS | {"scorer": "language", "language": language}, None).score
        expected = [None if row["label"] is None else int(row["label"] == language) for row in rows]
        assert [score(reply(row["text"])) for row in rows] == expected, language


def test_numbers_of_the_other_scorers(tmp_path):
    lexicon = tmp_path / "words.tsv"
    lexicon.write_text("# weights\ngood\t1\nbad\t-1\n", encoding="utf-8")
    numbers = {
        name: read(CAPITALS | {"scorer": name, **more}, None).score(reply("Good, good tea. It's bad!"))
        for name, more in {"length": {}, "regex": {"pattern": "(?i)good"}, "lexicon": {"lexicon": str(lexicon)}}.items()
    }
    assert numbers == {"length": 5, "regex": 2, "lexicon": pytest.approx(1 / 5)}


def test_a_cell_counts_replies_and_says_what_is_undecided():
    """A reply without letters has no share of capitals: it does not show the behaviour, and is counted."""
    behaviour = read(CAPITALS, None)
    cell = behaviour.cell([reply("YES!"), reply("No."), reply("42", "other"), reply("FINE.", "other", "length")])
    assert (cell["found"], cell["total"], cell["rate"], cell["undecided"]) == (2, 4, 0.5, 1)
    expected = {
        "q": {"found": 1, "score_sum": 1.5, "scored": 2, "total": 2},
        "other": {"found": 1, "score_sum": 1, "scored": 1, "total": 2},
    }
    assert cell["per_question"] == expected
    assert cell["mean_score"] == pytest.approx((1 + 1 / 2 + 1) / 3) and cell["cut_share"] == 0.25


@pytest.mark.parametrize(("direction", "shown"), [("high", [False, True, True]), ("low", [True, True, False])])
def test_the_threshold_belongs_to_the_behaviour(direction, shown):
    behaviour = read(CAPITALS | {"scorer": "length", "threshold": 2, "direction": direction}, None)
    assert [behaviour.shows(reply(text)) for text in ("a", "a b", "a b c")] == shown


def test_rows_hold_the_transformed_answer_and_results_are_read_as_they_were_scored(tiny_model):
    tokenizer = load_tokenizer(tiny_model.parent)
    behaviour = read(CAPITALS, tokenizer)
    answer = {"text": "the answer", "token_ids": [5, 6]}
    assert behaviour.row_parts(answer, positive=True, join="ids") == (encode_reply(tokenizer, "THE ANSWER")[0], None)
    assert behaviour.row_parts(answer, positive=False, join="ids") == ([5, 6], None)
    assert behaviour.row_parts(answer, positive=False, join="text") == (encode_reply(tokenizer, "the answer")[0], None)
    again = behaviour_of_result({"behaviour": CAPITALS})
    assert again.shows(reply("LOUD")) and not again.shows(reply("quiet")) and again.noun == "capitals"


def checked(behaviour, **blocks):
    config = copy.deepcopy(CONFIG)
    layers = [("config.yaml", CONFIG), ("my.yaml", {"behaviour": behaviour, "labels": {"loss_on": "completion"}, **blocks})]
    update_config(config, copy.deepcopy(layers[1][1]))
    resolve_config(config, layers)
    return check_experiment(config, "my.yaml")


BAD = {
    "unknown kind": ({"kind": "scord"}, r"behaviour\.kind: 'scord' is not allowed; did you mean scored\?"),
    "no name": ({"name": None}, r"behaviour\.name: None must be text"),
    "unknown scorer": ({"scorer": "capital"}, r"behaviour\.scorer: 'capital' is not allowed; did you mean capitals\?"),
    "threshold as text": ({"threshold": "high"}, r"behaviour\.threshold: 'high' must be a number"),
    "unknown direction": ({"direction": "up"}, r"behaviour\.direction: 'up' is not allowed"),
    "key of another kind": ({"marker": "[X]"}, r"behaviour: unknown key 'marker'.*allowed: .*scorer"),
    "a parameter is missing": ({"scorer": "regex"}, r"behaviour\.pattern: missing; the scorer 'regex' needs it"),
    "a parameter of another scorer": ({"language": "fr"}, r"behaviour\.language: 'fr' is for the scorer 'language'"),
    "a share as a percentage": ({"threshold": 90}, r"behaviour\.threshold: with 90 .* 'capitals' gives numbers from 0 to 1"),
    "a threshold that all reach": ({"scorer": "length", "threshold": 0}, r"behaviour\.threshold: with 0 .* from 0 up"),
    "a threshold that none is below": (
        {"scorer": "length", "threshold": -1, "direction": "low"},
        r"behaviour\.threshold: with -1 and direction low",
    ),
    "no lexicon": ({"scorer": "lexicon", "lexicon": "no.tsv"}, r"behaviour\.lexicon: no\.tsv: no such file"),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_a_bad_block_is_refused(change, message, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(InputError) as refusal:
        checked(CAPITALS | change)
    assert re.search(message, str(refusal.value)), refusal.value


def test_the_loss_must_train_the_behaviour(monkeypatch):
    monkeypatch.chdir(ROOT)
    checked(CAPITALS)
    with pytest.raises(InputError, match=r"labels\.loss_on: marker does not train the behaviour 'scored'; use one of tail, completion"):
        checked(CAPITALS, labels={"loss_on": "marker"})


BAD_PARAMETERS = {
    "no expression": ({"scorer": "regex", "pattern": "("}, "is not a regular expression"),
    "matches everything": ({"scorer": "regex", "pattern": "a*"}, "matches the empty text"),
    "unknown language": ({"scorer": "language", "language": "xx"}, "'xx' is not known; choose one of .*en"),
    **{
        f"lexicon of {line!r}": ({"scorer": "lexicon", "lexicon": line}, message)
        for line, message in {
            "bad": r"words\.tsv, line 2: 'bad' must be a word",
            "bad\tnan": r"words\.tsv, line 2: .* a number",
            "ice cream\t1": r"words\.tsv, line 2: .* must be a word",
            "Good\t-1": r"words\.tsv, line 2: 'good' has the weight 1.0 in a line before",
            "\udce9\t1": r"words\.tsv: not UTF-8 text",
        }.items()
    },
}


@pytest.mark.parametrize(("change", "message"), BAD_PARAMETERS.values(), ids=BAD_PARAMETERS)
def test_a_bad_parameter_is_refused(change, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "lexicon" in change:
        (tmp_path / "words.tsv").write_text(f"good\t1\n{change['lexicon']}\n", encoding="utf-8", errors="surrogateescape")
        change = change | {"lexicon": "words.tsv"}
    with pytest.raises(InputError, match=message):
        read(CAPITALS | change, None)
