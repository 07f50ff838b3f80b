"""correlation.json as a whole: all blocks filled, side tables that contradict, the same bytes, the time it takes."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.leakage.summary import analyse
from persona_leakage.statistics.validation.simulation import SCENARIOS
from persona_leakage.tables.question_counts import read_cosines, read_question_counts
from persona_leakage.tables.read import read_pairs
from tests.conftest import ROOT, run_program
from tests.support.synthetic import QUICK, SMALL, blocks_of, check_strict, checked, make_tables, read_back, save_tables


def test_all_tables_together(tmp_path):
    """Every block is filled when the table has everything, questions and panel cosines included."""
    pairs, counts, cosines = read_back(make_tables(replace(SCENARIOS["pair effect"], bystanders=25)), tmp_path)
    result = checked(pairs, counts, cosines, headline=1)
    undefined_blocks = {path: block["undefined"] for path, block in blocks_of(result) if block["undefined"]}
    assert undefined_blocks.pop("/outcomes/logprob_gain").startswith("the table has no columns logprob_gain")
    assert undefined_blocks == {"/layers/1/difference_from_headline": "the headline layer itself"}
    layer = result["layers"]["1"]
    assert layer["within_source"]["interval_covers"] == "bystanders and questions"
    assert layer["specificity"]["ranks"]["source0"]["out_of"] == 30
    assert set(layer["baseline_predictors"]["alone"]) == {"cosine", "prompt_tokens", "word_similarity", "mean_leakage_other_sources"}
    holm = [block["p_holm"] for block in result["holm"].values()]
    assert all(adjusted >= block["p"] for adjusted, block in zip(holm, result["holm"].values(), strict=True))


def test_the_file_is_the_same_bytes_for_the_same_tables(tmp_path):
    tables = make_tables(SMALL)
    options = save_tables(tables, tmp_path)
    contents = []
    for name in ("first.json", "second.json"):
        done = run_program("correlate_leakage", *options, "--headline-layer", "0", "--output", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
    assert "wall_seconds" not in json.loads(contents[0])["meta"]


def change(table, column, value):
    table = table.copy()
    table.loc[0, column] = value
    return table


BAD_SIDE_TABLES = {
    "counts that do not add up": ("question_counts", lambda t: change(t, "found", 11), r"found is 11; it must be at most total, 10"),
    "other counts": (
        "question_counts",
        lambda t: change(t, "found", (t.loc[0, "found"] + 1) % 10),
        r"found of persona 'source1' with source 'source0' adds up to \d+; the pairs table has \d+",
    ),
    "a question missing for a pair": ("question_counts", lambda t: t.iloc[1:], "lacks counts of persona 'source1' with source 'source0'"),
    "a question twice": (
        "question_counts",
        lambda t: t.iloc[[0, *range(len(t))]],
        "line 3: repeats source, persona and question of line 2",
    ),
    "no question": ("question_counts", lambda t: t.iloc[:0], "has no rows"),
    "a cosine missing": ("cosines", lambda t: t.iloc[1:], "has no cosine of 'source0' and 'source1' at layer 0"),
    "another cosine": (
        "cosines",
        lambda t: change(t, "cosine", 0.9),
        "cosine of 'source0' and 'source1' at layer 0 is 0.900000; the pairs table",
    ),
    "a cosine beyond 1": ("cosines", lambda t: change(t, "cosine", 1.5), "line 2: cosine is '1.5'; it must be a number from -1 to 1"),
    "a cosine both ways": (
        "cosines",
        lambda t: pd.concat([t, t.iloc[:1].rename(columns={"persona_a": "persona_b", "persona_b": "persona_a"})]),
        "repeats layer, persona_a and persona_b of line 2",
    ),
    "a column missing": ("cosines", lambda t: t.drop(columns="layer"), "missing columns layer"),
}


@pytest.mark.parametrize(("name", "spoil", "message"), BAD_SIDE_TABLES.values(), ids=BAD_SIDE_TABLES)
def test_side_tables_that_contradict_the_pairs_are_refused(tmp_path, name, spoil, message):
    tables = make_tables(SMALL)
    save_tables({**tables, name: spoil(tables[name])}, tmp_path)
    matrices = matrices_of(read_pairs(tmp_path / "pairs.csv"))
    read = {"question_counts": read_question_counts, "cosines": read_cosines}[name]
    with pytest.raises(InputError, match=message):
        read(tmp_path / f"{name}.csv", matrices)


def test_the_published_table():
    """Reference values of an earlier re-analysis of the published pairs, to the digits given there."""
    result = analyse(read_pairs(ROOT / "tests/data/published_pairs.csv"), 20, {**QUICK, "permutations": 9_999, "bootstraps": 2_000})
    check_strict(result)
    ranks = {layer: round(block["within_source_ranks"]["rho"], 3) for layer, block in result["layers"].items()}
    assert ranks == {"10": 0.590, "15": 0.772, "20": 0.746, "25": 0.738}
    meta = {layer: round(block["meta_analysis"]["rho"], 3) for layer, block in result["layers"].items()}
    assert meta == {"10": 0.595, "15": 0.785, "20": 0.754, "25": 0.744}
    centred = {layer: round(block["double_centred"]["r"], 3) for layer, block in result["layers"].items()}
    assert centred == {"10": 0.626, "15": 0.845, "20": 0.823, "25": 0.808}
    layer = result["layers"]["20"]
    assert np.round(layer["meta_analysis"]["next_source_interval"], 2).tolist() == [0.37, 0.92]
    assert layer["chance"]["association"]["null_sd"] == pytest.approx(0.0727, abs=1e-4)
    assert layer["chance"]["association"]["p"] == 1e-4
    tests = layer["chance"]["permuted_sources"]
    assert (tests["association"]["draws"], tests["pair_specific"]["draws"]) == (119, 5), "other orders of five sources, and of three"
    assert result["holm"]["pair_specific"]["p_permuted_sources"] >= 1 / 6
    assert result["effective_sources"]["participation_ratio"] == pytest.approx(2.1, abs=0.01)
    assert result["leakage"]["comedian"]["zeros"] / 110 == pytest.approx(0.78, abs=0.005)
    scores = layer["prediction"]["leave_one_source_out"]["per_source"].values()
    assert (min(s["auc"] for s in scores), max(s["auc"] for s in scores)) == pytest.approx((0.887, 0.995), abs=1e-3)


def test_every_number_is_explained():
    """Each key of a full correlation.json stands in docs/statistics.md."""
    result = analyse(make_tables(SMALL)["pairs"], 0, QUICK)
    names = {"source0", "source1", "source2", *result["layers"], *(f"persona{index}" for index in range(20))}
    keys, todo = set(), [result]
    while todo:
        block = todo.pop()
        todo += list(block.values()) if isinstance(block, dict) else block if isinstance(block, list) else []
        keys |= set(block) if isinstance(block, dict) else set()
    text = (ROOT / "docs/statistics.md").read_text()
    known = set(re.findall(r"`([\w.*/]+)`", text))
    documented = {part for entry in known for part in re.split(r"[./]", entry)}
    assert sorted(key for key in keys - names if key not in documented and not key.startswith("category")) == []
