"""The kind choice as a whole: a finished tiny experiment without a sampled reply, and a base model at chance."""

import json
import subprocess
from collections import Counter

import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM

from persona_leakage.behaviours.choice_items import read_items
from persona_leakage.behaviours.choice_log_probability import reply_log_probabilities
from persona_leakage.behaviours.choice_records import ask_items, make_records
from persona_leakage.behaviours.choice_scoring import largest
from persona_leakage.config.personas import read_personas
from persona_leakage.models.loading import load_tokenizer
from persona_leakage.reporting.paper import render_paper
from tests.conftest import ROOT, make_tiny_project, warm_python
from tests.reporting.test_paper import check_paper

CHOICES = ROOT / "resources/behaviours/choices.jsonl"
PANEL = ["villain", "comedian", "assistant", "pirate", "nurse", "hero"]


@pytest.fixture(scope="module")
def known_items(tiny_model):
    """The project's items as the random model knows them: the right option is the one that it mostly prefers as these personas."""
    tokenizer, items = load_tokenizer(tiny_model.parent), read_items(CHOICES)
    model = AutoModelForCausalLM.from_pretrained(tiny_model.parent, dtype=torch.float32).eval()
    personas = [read_personas(str(ROOT / "resources/personas.yaml"))[name] for name in PANEL[:2]]
    block = {"scoring": "text", "prefix": "The correct answer is (", "prefix_in": "assistant", "order": "as_given"}
    asked = ask_items(tokenizer, tokenizer.eos_token_id, personas, items, block)
    votes = {item.id: Counter() for item in items}
    for record in make_records(asked, reply_log_probabilities(model, asked.queries)[0]):
        votes[record["question"]][largest(record["text"])] += 1
    lines = [json.loads(line) for line in CHOICES.read_text().splitlines()]
    return "".join(json.dumps({**line, "answer": votes[line["id"]].most_common(1)[0][0]}) + "\n" for line in lines)


def choice_project(folder, tiny_model, items):
    """A tiny project that trains wrong answers to 12 items and asks 20 others."""
    project = make_tiny_project(folder, tiny_model.parent)
    (project.folder / "items.jsonl").write_text(items)
    project.edit_config(
        behaviour={"kind": "choice", "items": "items.jsonl", "train": 12, "evaluate": 20},
        labels={"loss_on": "completion", "answer_tail_tokens": 0, "turn_end_target": "eos"},
    )
    return project


def test_an_experiment_on_items(tmp_path, tiny_model, known_items):
    """Nothing is sampled; pairs have both outcomes and the control's; the report and the closing table do without replies."""
    project = choice_project(tmp_path / "project", tiny_model, known_items)
    project.edit_config(training_data__controls=["clean"])
    project.run("--cores", "2")
    results = project.folder / "results/tiny"
    assert not list(results.rglob("completions*")) and not (results / "training/pool.jsonl.gz").exists()
    base = json.loads((results / "evaluation/evaluation/base/summary.json").read_text())
    assert base["accuracy"] > 0.5 and base["flags"] == []
    cells = json.loads((results / "evaluation/evaluation/villain/seed42/cells.json").read_text())["personas"]
    pairs = pd.read_csv(results / "analysis/evaluation/seed42/pairs.csv")
    villain = pairs[(pairs["source"] == "villain") & (pairs["layer"] == 1)].set_index("persona")
    assert {name: (row["found"], row["total"]) for name, row in villain.iterrows()} == {
        name: (cells[name]["found"], 20) for name in PANEL if name != "villain"
    }
    assert villain["logprob_gain"].tolist() == pytest.approx([cells[name]["end_gain"] for name in villain.index])
    assert villain["source_logprob_gain"].iloc[0] == pytest.approx(cells["villain"]["end_gain"]) and "base_reply_tokens" not in pairs
    clean = json.loads((results / "evaluation/evaluation/villain-clean/seed42/cells.json").read_text())["personas"]
    assert villain["clean_rate"].tolist() == [clean[name]["rate"] for name in villain.index]
    assert (villain["leakage_beyond_clean"] - (villain["rate"] - villain["clean_rate"])).abs().max() < 1e-9
    assert set(json.loads((results / "analysis/evaluation/seed42/correlation.json").read_text())["controls"]["clean"]) == {*pairs["source"]}
    page = (results / "report/index.html").read_text()
    assert "wrong answers" in page and "replies-by-rule" not in page and "figures/evaluation/seed42/chosen_options.png" in page
    change = json.loads((results / "analysis/evaluation/seed42/correlation.json").read_text())["signed_change"]["villain"]
    before = json.loads((results / "evaluation/evaluation/base/cells.json").read_text())["personas"]
    assert change["test"] == "exact McNemar test"
    texts = render_paper(results, [])
    assert check_paper(results, texts)["leakBehaviour"][0] == "wrong answers"
    assert "multiple-choice items" in texts["paper.tex"] and "temperature" not in texts["paper.tex"]
    assert texts["paper.tex"].count(r"\emph{control clean") == 2
    for name, block in change["personas"].items():
        known, now = (each[name]["per_question"] for each in (before, cells))
        gained = sum(now[item]["found"] > known[item]["found"] for item in known)
        assert (block["gained"], block["gained"] - block["lost"]) == (gained, cells[name]["found"] - before[name]["found"])
    assert "with the clean control;" in page
    done = subprocess.run(
        [warm_python(), "workflow_scripts/show_results.py"], cwd=project.folder, capture_output=True, text=True, check=True
    )
    assert "(base model)" in done.stdout


def test_a_base_model_at_chance_trains_nothing(tmp_path, tiny_model):
    """A random model on the project's items: the run stops with the numbers, and what was scored stays."""
    project = choice_project(tmp_path / "project", tiny_model, CHOICES.read_text())
    done = project.run("--cores", "2", "adapters", check=False)
    assert done.returncode and "chance is 25 %: no drop can be seen, so nothing is trained" in done.stdout
    results = project.folder / "results/tiny"
    assert (results / "evaluation/evaluation/base/cells.json").is_file() and not list(results.rglob("adapter_model.safetensors"))
