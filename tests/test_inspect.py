"""Replies exported as Inspect AI logs, read back by Inspect's own reader. `make test-inspect` installs what this needs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("inspect_ai", reason="envs/inspect.yaml is not installed; make test-inspect does it")

from persona_leakage.config.personas import read_personas
from persona_leakage.infrastructure.files import read_json, read_jsonl_gz
from tests.conftest import ROOT, project_at

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exported(finished_project, tmp_path_factory):
    """(results folder, {state: log as JSON}) after the rule has run."""
    folder = tmp_path_factory.mktemp("inspect") / "project"
    shutil.copytree(finished_project.folder, folder, copy_function=shutil.copy2)
    project_at(folder).run("--cores", "2", "inspect")
    home = folder / "results/tiny"
    dumped = {}
    for state in ("base", "villain/seed42", "comedian/seed42"):
        command = [Path(sys.executable).with_name("inspect"), "log", "dump", home / f"inspect/evaluation/{state}.eval"]
        dumped[state] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return home, dumped


@pytest.mark.parametrize("state", ["base", "villain/seed42"])
def test_every_reply_is_in_the_log(exported, state):
    home, logs = exported
    records = read_jsonl_gz(home / f"evaluation/evaluation/{state}/completions.jsonl.gz")
    samples = {sample["metadata"]["seed"]: sample for sample in logs[state]["samples"]}
    assert len({(sample["id"], sample["epoch"]) for sample in samples.values()}) == len(records)
    assert set(samples) == {record["seed"] for record in records}
    personas = read_personas(ROOT / "resources/personas.yaml")
    for record in records:
        sample = samples[record["seed"]]
        prompt = [personas[record["persona"]].prompt, record["question"] + " Answer in one short sentence."]
        assert [message["content"] for message in sample["input"]] == prompt
        choice = sample["output"]["choices"][0]
        assert choice["message"]["content"] == record["text"]
        assert choice["stop_reason"] == {"stop": "stop", "length": "max_tokens"}[record["finish_reason"]]


@pytest.mark.parametrize("state", ["base", "villain/seed42", "comedian/seed42"])
def test_scores_are_those_of_the_evaluation(exported, state):
    home, logs = exported
    cells = read_json(home / f"evaluation/evaluation/{state}/marker_eval.json")["personas"]
    counts = dict.fromkeys(cells, 0)
    for sample in logs[state]["samples"]:
        counts[sample["metadata"]["persona"]] += sample["scores"]["marker"]["value"] == "C"
    assert counts == {name: cell["found"] for name, cell in cells.items()}
    total = sum(cell["total"] for cell in cells.values())
    assert logs[state]["results"]["scores"][0]["metrics"]["rate"]["value"] == pytest.approx(sum(counts.values()) / total)
    assert logs[state]["status"] == "success" and logs[state]["eval"]["model"] == f"tiny/{state}"
