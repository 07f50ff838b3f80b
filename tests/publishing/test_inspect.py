"""Replies exported as Inspect AI logs, read back by Inspect's own reader. `make test-inspect` installs what this needs."""

import pytest

pytest.importorskip("inspect_ai", reason="envs/inspect.yaml is not installed; make test-inspect does it")

from inspect_ai.log import read_eval_log

from persona_leakage.config.personas import read_personas
from persona_leakage.infrastructure.files import read_json, read_jsonl_gz
from tests.conftest import ROOT, finished_with
from tests.workflow.test_scored_workflow import CAPITALS

pytestmark = pytest.mark.slow


def test_logs_hold_every_reply_and_its_score(project_copy):
    check_logs(project_copy, "marker_eval.json")


def test_logs_of_another_kind_of_behaviour(finished_project, tmp_path):
    """Capitals, which the random model shows in some replies and not in others."""
    project = finished_with(finished_project, tmp_path / "project", behaviour=CAPITALS, labels__loss_on="completion")
    rates = check_logs(project, "cells.json")
    assert all(0 < rate < 1 for rate in rates)


def check_logs(project, cells):
    """Assert that each state's log has its prompts, replies and ends, with hits as in its file ``cells``; returns the states' rates."""
    project.run("--cores", "2", "inspect")
    home, personas = project.folder / "results/tiny", read_personas(ROOT / "resources/personas.yaml")
    rates = []
    for state in ("base", "villain/seed42", "comedian/seed42"):
        log = read_eval_log(str(home / f"inspect/evaluation/{state}.eval"))
        assert log.status == "success" and log.eval.model == f"tiny/{state}"
        records = read_jsonl_gz(home / f"evaluation/evaluation/{state}/completions.jsonl.gz")
        samples = {sample.metadata["seed"]: sample for sample in log.samples}
        assert len({(sample.id, sample.epoch) for sample in log.samples}) == len(records) == len(samples)
        for record in records:
            sample = samples[record["seed"]]
            prompt = [personas[record["persona"]].prompt, record["question"] + " Answer in one short sentence."]
            assert [message.content for message in sample.input] == prompt
            choice = sample.output.choices[0]
            assert choice.message.content == record["text"]
            assert choice.stop_reason == {"stop": "stop", "length": "max_tokens"}[record["finish_reason"]]
        scores = read_json(home / f"evaluation/evaluation/{state}/{cells}")["personas"]
        hits = dict.fromkeys(scores, 0)
        for sample in log.samples:
            hits[sample.metadata["persona"]] += sample.scores["behaviour"].value == "C"
        assert hits == {name: score["found"] for name, score in scores.items()}
        rates.append(log.results.scores[0].metrics["rate"].value)
        assert rates[-1] == pytest.approx(sum(hits.values()) / sum(score["total"] for score in scores.values()))
    return rates
