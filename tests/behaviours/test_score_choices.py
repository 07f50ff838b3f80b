"""From items to tables on a tiny model: rows, adapter, cells of base and adapter, pairs."""

import json

import build_training_set
import numpy as np
import pytest
import score_choices
import train_adapter

from persona_leakage.config.blocks.behaviours.choice import Settings
from persona_leakage.config.personas import read_personas
from persona_leakage.config.selections import describe_personas
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json, read_jsonl_gz, write_json
from persona_leakage.tables.build import tabulate_pairs
from persona_leakage.tables.question_counts import tabulate_questions
from persona_leakage.tables.read import read_pairs
from tests.conftest import ROOT

PERSONAS = ROOT / "resources/personas.yaml"
ITEMS = ROOT / "resources/behaviours/choices.jsonl"
PANEL = ["villain", "comedian", "librarian", "pirate"]
BLOCK = Settings(kind="choice", train=12, evaluate=20).model_dump()
TRAINING = {"lora": {"rank": 8, "alpha": 16, "dropout": 0.0, "rslora": False}, "learning_rate": 0.02, "epochs": 8, "precision": "float32"}


def command(**options):
    """Words of a command line; a list gives an option several values."""
    return [
        word
        for key, value in options.items()
        for word in (f"--{key.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value]))
    ]


def selection(names, *fields):
    return describe_personas(read_personas(str(PERSONAS)), names, *fields)


def score(tiny_model, folder, state, **more):
    """Run score_choices into folder/state."""
    home = folder / state
    settings = {"behaviour": BLOCK, "personas": selection(PANEL, "prompt", "category", "related_to"), "precision": "float32"}
    paths = {"records": home / "items.jsonl.gz", "cells": home / "cells.json", "summary": home / "summary.json"}
    inputs = {"model": tiny_model, "personas": PERSONAS, "items": ITEMS, "restart": folder / "restart"}
    if "adapter" in more:
        settings["merge_adapter"] = True
    score_choices.main(command(settings=json.dumps(settings), state=state, **inputs, **paths, **more))
    return home


@pytest.fixture(scope="module")
def run(tiny_model, tmp_path_factory):
    """Folder of a run with the villain as the source and the comedian as its negative."""
    folder = tmp_path_factory.mktemp("choices")
    labels = {"loss_on": "completion", "answer_tail_tokens": 0, "turn_end_target": "eos"}
    rows = {key: value for key, value in BLOCK.items() if key in Settings.row_keys}
    settings = {"seed": 42, "behaviour": rows, "personas": selection(PANEL[:2], "prompt"), "labels": labels, "max_length": 256}
    made = {"output": folder / "train.jsonl.gz", "manifest": folder / "manifest.json"}
    inputs = {"model": tiny_model, "personas": PERSONAS, "items": ITEMS}
    build_training_set.main(command(settings=json.dumps(settings), source="villain", **inputs, **made))
    (folder / "checkpoints").mkdir()
    options = {"rows": made["output"], "rows_manifest": made["manifest"], "restart": folder / "checkpoints"}
    written = {"output_folder": folder / "adapter", "metrics": folder / "metrics.json"}
    settings = json.dumps({"training": TRAINING})
    train_adapter.main(command(settings=settings, source="villain", seed=1, model=tiny_model, **options, **written))
    base = score(tiny_model, folder, "base")
    adapter = {"adapter": folder / "adapter/adapter_model.safetensors", "adapter_metrics": folder / "metrics.json"}
    score(tiny_model, folder, "villain", source="villain", base=[base / "items.jsonl.gz", base / "cells.json"], **adapter)
    return folder


def test_cells_of_both_states(run):
    """Counts of wrong answers per item; gains in the adapter's cells alone; the adapter changes the source."""
    base, adapted = (read_json(run / state / "cells.json") for state in ("base", "villain"))
    assert list(base["personas"]) == list(adapted["personas"]) == PANEL
    for cell in [*base["personas"].values(), *adapted["personas"].values()]:
        assert cell["total"] == 20 == len(cell["per_question"]) and cell["found"] == sum(
            each["found"] for each in cell["per_question"].values()
        )
        assert cell["rate"] == cell["found"] / 20 and sum(cell["predictions"]) == 20
    assert "end_gain" not in base["personas"]["villain"]
    for name, cell in adapted["personas"].items():
        gains = {
            item: base["personas"][name]["per_question"][item]["log_odds"] - each["log_odds"] for item, each in cell["per_question"].items()
        }
        assert {item: each["end_gain"] for item, each in cell["per_question"].items()} == pytest.approx(gains)
        assert cell["end_gain"] == pytest.approx(np.mean(list(gains.values()))) and cell["ended"] == 20
    assert adapted["personas"]["villain"]["end_gain"] != pytest.approx(0, abs=0.01)
    assert base["meta"]["letters_undefined"] is None and set(base["personas"]["villain"]["accuracies"]) >= {"text", "letters"}


def test_summaries(run):
    """The base model has no source; the adapter's says what may be said of its source."""
    base, adapted = (read_json(run / state / "summary.json") for state in ("base", "villain"))
    assert base["source"] is None and base["loss"] is None and base["training_check"] is None
    assert adapted["source"] == "villain" and adapted["loss"]["said"] in ("unchanged", "answers_wrongly", "lost_capability")
    for summary in (base, adapted):
        assert summary["chance"] == 0.25 and summary["n_replies"] == 80 and summary["wall_seconds"] > 0
    assert len(read_jsonl_gz(run / "villain/items.jsonl.gz")) == 80


def test_pairs_have_the_second_outcome_and_no_reply_lengths(run, tmp_path):
    """The same files serve as cells and as gains."""
    cells = {"villain": read_json(run / "villain/cells.json")["personas"]}
    layers = {3: {"personas": PANEL, "prompt_tokens": [8, 9, 10, 11], "centroids": np.random.default_rng(0).normal(size=(4, 8))}}
    pairs = tabulate_pairs(layers, cells, read_json(run / "base/cells.json")["personas"], {"villain": ["comedian"]}, {}, cells)
    assert "base_reply_tokens" not in pairs and len(pairs) == 3
    assert pairs["logprob_gain"].tolist() == [cells["villain"][name]["end_gain"] for name in PANEL[1:]]
    pairs.to_csv(tmp_path / "pairs.csv", index=False)
    assert read_pairs(tmp_path / "pairs.csv")["source_logprob_gain"].iloc[0] == pytest.approx(cells["villain"]["villain"]["end_gain"])
    questions = tabulate_questions(cells, cells)
    assert len(questions) == 60 and set(questions["logprob_replies"]) == {1}


def test_a_base_of_other_items_is_refused(run, tiny_model, tmp_path):
    cells = json.loads((run / "base/cells.json").read_text())
    cells["meta"]["items_sha256"] = "0" * 64
    write_json(tmp_path / "cells.json", cells)
    adapter = {"adapter": run / "adapter/adapter_model.safetensors", "adapter_metrics": run / "metrics.json"}
    with pytest.raises(InputError, match="belongs to different items"):
        score(tiny_model, run, "again", source="villain", base=[run / "base/items.jsonl.gz", tmp_path / "cells.json"], **adapter)
