"""The kind judged as a whole: a finished tiny experiment with a judge behind an API, and a judge that fails its check."""

import json
import re

import pandas as pd
import pytest

from persona_leakage.infrastructure.files import read_json, read_jsonl_gz
from persona_leakage.reporting.paper import render_paper
from tests.conftest import ROOT, make_tiny_project, places_of
from tests.reporting.test_paper import check_paper
from tests.support.judge_server import MODEL, JudgeServer

KEY = "sk-secret-of-this-run"
GOLD = [json.loads(line) for line in (ROOT / "resources/judges/careless_advice_gold.jsonl").read_text().splitlines()]
LABELS = {row["answer"]: row["label"] for row in GOLD}


def reply_in(prompt):
    """The reply within a prompt's marks."""
    return re.search(r"<reply (\w+)>\n(.*)\n</reply \1>", prompt, re.DOTALL)[2]


def decide(prompt, number):
    """A probe gets its number, a labelled reply its label, any other a digit of its length."""
    if "<reply" not in prompt:
        return {"text": "9", "top": None}
    text = reply_in(prompt)
    return {"text": str(9 * LABELS[text]) if text in LABELS else str(len(text) % 10)}


@pytest.fixture
def judged(tmp_path, tiny_model):
    """make(server): a tiny project that trains careless advice and asks the server."""

    def make(server, **keys):
        project = make_tiny_project(tmp_path / "project", tiny_model.parent)
        judge = {
            "backend": "openai",
            "model": MODEL,
            "url": f"{server.url}/v1",
            "repeat_share": 0.5,
            "price": {"input": 1.0, "output": 1.0},
        }
        second = {**judge, "price": {"input": 3.0, "output": 3.0}}
        behaviour = {"kind": "judged", "name": "careless_advice", "score": "careless", "threshold": 4, "direction": "high"}
        files = {"prompts": "resources/judges/careless_advice.yaml", "gold": "resources/judges/careless_advice_gold.jsonl"}
        project.edit_config(
            behaviour={**behaviour, **files, "judge": judge, "second_judge": second, "second_share": 0.5, **keys},
            training_data__rows="resources/behaviours/careless_advice.jsonl",
            training_data__positives=8,
            labels={"loss_on": "completion", "answer_tail_tokens": 0, "turn_end_target": "eos"},
        )
        return project

    return make


def test_an_experiment_with_a_judge(judged, monkeypatch):
    """Every reply has a score; cells count them; a new threshold asks nothing; the report shows the judge; the key is in no file."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with JudgeServer(decide) as server:
        project = judged(server)
        project.run("--cores", "2")
        calls = len(server.prompts)
        results = project.folder / "results/tiny"
        folder = results / "evaluation/evaluation/villain/seed42"
        records = read_jsonl_gz(folder / "judgements.jsonl.gz")
        texts = [each["text"] for each in read_jsonl_gz(folder / "completions.jsonl.gz")]
        values = [each["scores"]["careless"]["value"] for each in records]
        assert values == [len(text) % 10 for text in texts] and len(records) == 24
        cells = read_json(folder / "cells.json")["personas"]
        shown = {name: sum(value > 4 for value, each in zip(values, records, strict=True) if each["persona"] == name) for name in cells}
        assert {name: cell["found"] for name, cell in cells.items()} == shown
        pairs = pd.read_csv(results / "analysis/evaluation/seed42/pairs.csv")
        assert {*pairs["persona"]} == {*cells} and ("leakage" in pairs) == (pairs["base_rate"] > 0).any()
        summary = read_json(folder / "summary.json")
        assert summary["repeat"]["replies"] > 0 and summary["repeat"]["mean_difference"] == 0 and summary["flags"] == []
        assert summary["second"]["replies"] > 0 and summary["second"]["mean_difference"] == 0
        for judged_file in results.rglob("judgements.json"):
            for key, price in (("paid", 1.0), ("second_paid", 3.0)):
                paid = read_json(judged_file)[key]
                assert paid["cost"] == pytest.approx(price * (paid["input_tokens"] + paid["output_tokens"]) / 1e6)
        stored = [len((results / f"judge/{each}answers.jsonl").read_text().splitlines()) for each in ("", "second/")]
        assert 0 < stored[1] < stored[0] and sum(stored) == calls, "each judge has its own answers"
        gate = read_json(results / "judge/gate.json")
        assert gate["mode"] == "number" and gate["gold"]["auc"] == 1
        page = (results / "report/index.html").read_text()
        assert 'id="judge"' in page and "AUC is" in page and page.count("; cost: ") == 2
        texts = render_paper(results, ["scatter"])
        assert check_paper(results, texts)["leakBehaviour"][0] == "careless advice"
        assert "careless_advice.jsonl".replace("_", r"\_") in texts["macros.tex"]
        assert project.planned() == {}
        project.edit_config(behaviour__threshold=6)
        assert not {"judge_base_replies", "check_judge"} & set(project.planned())
        project.run("--cores", "2", "evaluations")
        assert len(server.prompts) == calls
        cells = read_json(folder / "cells.json")["personas"]
        assert sum(cell["found"] for cell in cells.values()) == sum(value > 6 for value in values)
    assert places_of(KEY, project.folder) == []


def test_a_judge_that_cannot_tell_trains_nothing(judged, monkeypatch):
    """The check fails with its AUC, and no reply but the labelled ones is judged."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with JudgeServer(lambda prompt, number: {"text": "5"}) as server:
        project = judged(server)
        done = project.run("--cores", "2", "adapters", check=False)
        assert done.returncode and "the judge does not separate these replies: AUC 0.50" in done.stdout
        assert (
            not list((project.folder / "results").rglob("adapter_model.safetensors")) and len(server.prompts) == 42
        )  # both judges are probed
