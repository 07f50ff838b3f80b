"""Cosines, the table of pairs and the correlations over it, against numbers worked out by hand and a second way through scipy."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from persona_leakage.geometry.cosine import centroids, cosine_matrix
from persona_leakage.statistics.leakage.correlations import correlate, correlate_layer, correlate_pairs
from persona_leakage.statistics.leakage.leakage_rates import summarise_rates
from persona_leakage.tables.build import COLUMNS, tabulate_pairs

UNDEFINED = {
    "no pair": ([], [], "fewer than 3"),
    "two pairs": ([1, 2], [3, 4], "fewer than 3"),
    "constant cosine": ([1, 1, 1, 1], [1, 2, 3, 4], "cosine"),
    "nobody leaks": ([1, 2, 3, 4], [0, 0, 0, 0], "leakage"),
    "everybody leaks": ([1, 2, 3, 4], [1.0, 1.0, 1.0, 1.0], "leakage"),
}


@pytest.mark.parametrize(("x", "y", "reason"), UNDEFINED.values(), ids=UNDEFINED)
def test_undefined_correlations_say_why(x, y, reason):
    found = correlate(x, y)
    assert reason in found["undefined"]
    assert found["n"] == len(x) and set(found) == set(correlate([1, 2, 3], [1, 3, 2]))
    assert [found[key] for key in ("spearman_rho", "spearman_p", "pearson_r", "pearson_p")] == [None] * 4
    json.dumps(found, allow_nan=False)


def make_table(layer=3):
    """Two sources: villain with 6 bystanders whose leakage rises with the cosine, comedian with 5 where it falls.

    Category near: 3 + 3 pairs, far: 3 + 2. Relatives: 2 + 1.
    """
    rows = []
    for source, size, sign, source_rate in (("villain", 6, 1, 0.9), ("comedian", 5, -1, 0.2)):
        for index in range(size):
            rows.append(
                {
                    **{"layer": layer, "source": source, "persona": f"persona{index}", "category": "near" if index < 3 else "far"},
                    **{"related": index < (2 if source == "villain" else 1), "negative": False, "cosine": index / 10},
                    **{"cosine_raw": -index / 10, "rate": 0.5 + sign * index / 20, "found": 0, "total": 20, "base_rate": 0.0},
                    **{"source_rate": source_rate, "prompt_tokens": 12},
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def test_layer_block_per_source():
    block = correlate_layer(make_table(), 5)["per_source"]
    assert list(block) == ["villain", "comedian"]
    villain, comedian = block.values()
    assert (villain["n"], comedian["n"]) == (6, 5)
    assert villain["spearman_rho"] == pytest.approx(1)
    assert comedian["spearman_rho"] == pytest.approx(-1)
    assert (villain["source_rate"], comedian["source_rate"]) == (0.9, 0.2)
    assert villain["mean_bystander_rate"] == pytest.approx(0.5 + 0.125)
    assert comedian["mean_bystander_rate"] == pytest.approx(0.5 - 0.1)


def test_layer_block_over_all_sources():
    """Pooled, per category of the bystander and relatives only: who is counted, and Bonett and Wright's error on Fisher's z."""
    table = make_table()
    block = correlate_layer(table, 5)
    assert block["pooled"]["n"] == 11 and block["related_only"]["n"] == 3
    assert {name: part["n"] for name, part in block["per_category"].items()} == {"near": 6, "far": 5}
    related = table[table["related"]]
    assert block["related_only"]["pearson_r"] == pytest.approx(np.corrcoef(related["cosine"], related["rate"])[0, 1])
    rho = block["pooled"]["spearman_rho"]
    middle, half = np.arctanh(rho), 1.959964 * np.sqrt((1 + rho**2 / 2) / (11 - 3))
    assert block["pooled"]["interval_if_independent"] == pytest.approx(np.tanh([middle - half, middle + half]), abs=1e-6)
    assert block["related_only"]["interval_if_independent"] is None, "three pairs"
    for minimum, categories in ((3, {"near", "far"}), (6, {"near"}), (7, set())):
        assert set(correlate_layer(table, minimum)["per_category"]) == categories


def test_rates_by_category():
    """The mean of the personas with Student's interval within [0, 1]; none for fewer than five personas, no category without a rate."""
    rates = {"near": [0.0, 0.05, 0.1, 0.1, 0.9], "far": [0.2, 0.4, 0.3, 0.7], "lost": [np.nan]}
    cells = [(category, rate) for category, some in rates.items() for rate in some]
    table = pd.DataFrame(cells, columns=["category", "rate"]).assign(source="villain", found=0, total=20)
    table["persona"] = [f"p{index}" for index in table.index]
    found = summarise_rates(table)["villain"]["categories"]
    assert list(found) == ["far", "near"] and found["far"]["interval"] is None
    assert found["far"]["personas"] == ["p5", "p6", "p7", "p8"] and found["far"]["mean"] == pytest.approx(0.4)
    near = rates["near"]
    high = stats.t.interval(0.95, 4, loc=np.mean(near), scale=stats.sem(near))[1]
    assert found["near"]["interval"] == [0.0, pytest.approx(high)] and high < 1


def test_blocks_of_all_layers():
    other = make_table(layer=21).assign(cosine=lambda table: -table["cosine"])
    found = correlate_pairs(pd.concat([other, make_table(layer=3)]), 21, 5)
    assert found["headline_layer"] == 21
    assert list(found["layers"]) == ["3", "21"]
    rhos = [block["per_source"]["villain"]["spearman_rho"] for block in found["layers"].values()]
    assert rhos == pytest.approx([1, -1])
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_cosines_by_hand():
    """Raw; and centred, where the mean (1, 1) comes off first, which leaves (1, 0), (0, 1) and (-1, -1)."""
    half = math.sqrt(0.5)
    raw = [[1, 0, half, -1], [0, 1, half, 0], [half, half, 1, -half], [-1, 0, -half, 1]]
    assert cosine_matrix([[1, 0], [0, 2], [3, 3], [-5, 0]], centred=False) == pytest.approx(np.array(raw))
    centred = [[1, 0, -half], [0, 1, -half], [-half, -half, 1]]
    assert cosine_matrix([[2, 1], [1, 2], [0, 0]], centred=True) == pytest.approx(np.array(centred))


def test_cosines_are_taken_in_double_precision():
    """float32 centroids with a large common part would lose their differences."""
    offset = np.float32(1024.0)
    vectors = (np.array([[2, 1], [1, 2], [0, 0]], dtype=np.float32) / 1024 + offset).astype(np.float32)
    found = cosine_matrix(vectors, centred=True)
    assert found.dtype == np.float64
    assert found[0, 1] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("vectors", "centred"), [([[1, 0], [0, 0]], False), ([[1, 1], [3, 3], [2, 2]], True), ([[1, 1], [1, 1]], True)])
def test_a_vector_without_length_is_an_error(vectors, centred):
    """Its cosine would be NaN; centred, that is the vector at the mean."""
    with pytest.raises(ValueError, match="zero length"):
        cosine_matrix(vectors, centred=centred)


def test_centroids():
    states = np.array([[[1, 2], [3, 6]], [[0, 0], [5, -1]]], dtype=np.float32)
    found = centroids(states)
    assert found.dtype == np.float32
    assert found.tolist() == [[2, 4], [2.5, -0.5]]


NAMES = ["villain", "comedian", "pirate", "nurse"]
LAYERS = {
    21: {"personas": NAMES, "prompt_tokens": [9, 10, 11, 12], "centroids": [[0, 1], [1, 0], [0, 3], [1, -2]]},
    # without the mean (0, 2): (1, 0), (0, 1), (-1, 0), (0, -1)
    3: {"personas": NAMES, "prompt_tokens": [9, 10, 11, 12], "centroids": [[1, 2], [0, 3], [-1, 2], [0, 1]]},
}
RATES = {"villain": [8, 1, 4, 2], "comedian": [3, 6, 0, 10]}
RELATED = {"villain": [], "comedian": [], "pirate": ["villain"], "nurse": ["villain", "comedian"]}


def make_cells(found):
    cells = {
        name: {
            **{"category": f"{name}s", "related_to": RELATED[name], "mean_tokens": 20.5 + 2 * index},
            **{"rate": count / 10, "found": count, "total": 10},
        }
        for index, (name, count) in enumerate(zip(NAMES, found, strict=True))
    }
    return dict(reversed(cells.items()))


EVALUATIONS = {source: make_cells(found) for source, found in RATES.items()}
BASE = make_cells([0, 0, 1, 0])
NEGATIVES = {"villain": ["comedian", "assistant"], "comedian": ["pirate"]}


def test_pairs_of_a_small_study():
    """Each source meets everybody but itself, the other source included; every column by hand for one of them."""
    table = tabulate_pairs(LAYERS, EVALUATIONS, BASE, NEGATIVES, {})
    assert list(table.columns) == [*COLUMNS, "leakage", "leakage_se"], "pirate has a base rate above 0"
    assert len(table) == 2 * 2 * (len(NAMES) - 1)
    assert table["layer"].tolist() == [3] * 6 + [21] * 6
    pairs = table[(table["layer"] == 3) & (table["source"] == "villain")]
    assert pairs["persona"].tolist() == ["comedian", "pirate", "nurse"]
    assert pairs["category"].tolist() == ["comedians", "pirates", "nurses"]
    assert pairs["related"].tolist() == [False, True, True]
    assert pairs["negative"].tolist() == [True, False, False]
    assert pairs["cosine"].tolist() == pytest.approx([0, -1, 0])
    assert pairs["cosine_raw"].tolist() == pytest.approx([2 / math.sqrt(5), 0.6, 2 / math.sqrt(5)])
    assert pairs["rate"].tolist() == [0.1, 0.4, 0.2]
    assert pairs["found"].tolist() == [1, 4, 2]
    assert pairs["total"].tolist() == [10, 10, 10]
    assert pairs["base_rate"].tolist() == [0, 0.1, 0]
    assert pairs["leakage"].tolist() == [0.1, 0.3, 0.2]
    assert pairs["leakage_se"].isna().all(), "these cells have no counts per question"
    assert pairs["source_rate"].tolist() == [0.8] * 3
    assert pairs["prompt_tokens"].tolist() == [10, 11, 12]
    assert pairs["base_reply_tokens"].tolist() == [22.5, 24.5, 26.5]
    assert pairs["source_base_reply_tokens"].tolist() == [20.5] * 3
    # Two directions of the same variance, from four personas: Ledoit and Wolf shrink nothing that would change an angle.
    assert pairs["cosine_whitened"].tolist() == pytest.approx([0, -1, 0])


def test_a_behaviour_that_nobody_shows_before_training_has_the_same_columns_as_ever():
    table = tabulate_pairs(LAYERS, EVALUATIONS, make_cells([0, 0, 0, 0]), NEGATIVES, {})
    assert list(table.columns) == COLUMNS


def test_pairs_have_the_error_of_their_leakage():
    """Of the questions of both cells: 3 of 4 replies to two questions of eight, against none."""
    questions = [f"question {number}?" for number in range(8)]
    cells, base = (make_cells(found) for found in ([6, 6, 6, 6], [0, 0, 1, 0]))
    for group, share in ((cells, 3), (base, 0)):
        for cell in group.values():
            cell["per_question"] = {name: {"found": share * (place < 2), "total": 4} for place, name in enumerate(questions)}
    table = tabulate_pairs(LAYERS, {"villain": cells}, base, NEGATIVES, {})
    assert table["leakage_se"].to_numpy() == pytest.approx(np.std([0.75, 0.75, *[0] * 6], ddof=1) / math.sqrt(8), rel=0.05)
