"""Containment: measures of known counts, paired comparisons, and what is not answered."""

import numpy as np
import pandas as pd
import pytest

from persona_leakage.infrastructure.files import read_json
from persona_leakage.statistics.comparisons.containment import (
    answer_of,
    collect,
    comparisons_of,
    describe_containment,
    measures_of,
    untrained_bystanders,
)
from persona_leakage.statistics.core.multiple_testing import holm
from tests.conftest import ROOT

KEPT = ROOT / "docs/results/containment/analysis/evaluation/seed42"
PANEL = ["s", "t", *(f"p{number}" for number in range(40)), "n1", "n2"]
NEGATIVES = {"hash0": {"s": [], "t": []}, "hash2": {"s": ["n1"], "t": ["n2"]}, "nearest2": {"s": ["n2"], "t": ["n2"]}}


def cell(rate, total=20):
    return {"rate": round(rate * total) / total, "found": round(rate * total), "total": total, "end_gain": 10 * rate}


def made_up(levels, own=0.9):
    """Cells of {condition: mean rate of the bystanders}, whose rates vary from persona to persona in the same way."""
    spread = np.random.default_rng(1).uniform(-0.1, 0.1, len(PANEL))
    cells = {
        condition: {
            source: {name: cell(own if name == source else level + spread[place]) for place, name in enumerate(PANEL)}
            for source in ("s", "t")
        }
        for condition, level in levels.items()
    }
    base = {name: cell(0) for name in PANEL}
    return collect(cells, base, cells, {name: NEGATIVES[name] for name in levels})


def test_only_personas_in_no_list_are_bystanders():
    assert untrained_bystanders(["a", "b", "c", "d"], [["b"], [], ["b", "d"]]) == ["a", "c"]
    data = made_up({"hash0": 0.5, "hash2": 0.3, "nearest2": 0.2})
    assert data.bystanders == PANEL[:-2] and np.isnan(data.found[:, 0, 0]).all() and not np.isnan(data.found[:, 1, 0]).any()


def test_measures_of_known_counts():
    cells = {"hash0": {"s": {"s": cell(0.8, 10), "a": cell(0.2, 10), "b": cell(0.4, 10)}}}
    base = {"s": cell(0.1, 10), "a": cell(0.1, 10), "b": cell(0, 10)}
    found = {name: values[0, 0] for name, values in measures_of(collect(cells, base, cells, {"hash0": {"s": []}})).items()}
    assert found["own_rate"] == 0.8 and found["own_rise"] == pytest.approx(0.7)
    assert found["leakage"] == pytest.approx((0.1 + 0.4) / 2) and found["relative_leakage"] == pytest.approx(0.25 / 0.7)
    logits = [np.log(2.5 / 8.5), np.log(4.5 / 6.5)]
    assert found["logit_difference"] == pytest.approx(np.mean(logits) - np.log(8.5 / 2.5))
    assert found["gain"] == pytest.approx(3) and found["gain_difference"] == pytest.approx(3 - 8)


def test_a_difference_is_found_and_its_interval_is_paired():
    """The same personas are drawn for both conditions: the interval is far narrower than those of the conditions."""
    result = describe_containment(made_up({"hash0": 0.6, "hash2": 0.5, "nearest2": 0.3}), 2000)
    near, number = result["comparisons"]["nearest less hash"], result["comparisons"]["hash2 less hash0"]
    first = near["relative_leakage"]
    assert first["difference"] == pytest.approx(-0.2 / 0.9, abs=0.03) and first["interval"][1] < -0.05
    assert near["answer"] == "contains better" and first["same_sign"] and first["p_holm"] >= first["p"]
    assert number["leakage"]["difference"] == pytest.approx(-0.1, abs=0.03)
    low, high = near["leakage"]["interval"]
    mean_low, mean_high = result["per_condition"]["nearest2"]["mean"]["leakage_interval"]
    assert high - low < mean_high - mean_low
    worse = describe_containment(made_up({"hash2": 0.3, "nearest2": 0.6}), 2000)["comparisons"]["nearest less hash"]
    assert worse["answer"] == "contains worse"


def test_the_source_s_own_rate_widens_the_interval():
    """All bystanders are divided by it: fewer own replies, less is known."""
    narrow = made_up({"hash2": 0.5, "nearest2": 0.5})
    wide = type(narrow)(**{**vars(narrow), "own_found": narrow.own_found / 10, "own_total": narrow.own_total / 10})
    widths = []
    for data in (narrow, wide):
        low, high = describe_containment(data, 2000)["comparisons"]["nearest less hash"]["relative_leakage"]["interval"]
        widths.append(high - low)
    assert widths[1] > 1.5 * widths[0]


def test_no_difference_is_not_claimed():
    result = describe_containment(made_up({"hash2": 0.4, "nearest2": 0.4}), 2000)
    block = result["comparisons"]["nearest less hash"]
    assert block["answer"] == "cannot tell" and block["relative_leakage"]["difference"] == 0 and block["relative_leakage"]["p"] > 0.9


def test_an_adapter_that_disagrees_leaves_it_open():
    clear = {"undefined": None, "p_holm": 0.001, "difference": -0.2, "same_sign": True}
    assert answer_of(clear) == "contains better" and answer_of({**clear, "difference": 0.2}) == "contains worse"
    for change in ({"same_sign": False}, {"p_holm": 0.05}, {"undefined": "why"}):
        assert answer_of({**clear, **change}) == "cannot tell"


def test_a_source_that_learned_nothing_makes_no_ratio():
    result = describe_containment(made_up({"hash2": 0.1, "nearest2": 0.1}, own=0.1), 200)
    block = result["comparisons"]["nearest less hash"]
    assert block["relative_leakage"]["undefined"] and block["answer"] == "cannot tell" and block["relative_leakage"]["p_holm"] is None
    assert result["per_condition"]["hash2"]["mean"]["relative_leakage"] is None and block["leakage"]["undefined"] is None


def test_which_conditions_are_compared():
    found = comparisons_of(["hash4", "hash0", "hashall", "nearest2", "nearest4", "spread4", "list"])
    assert found == {
        "nearest less hash": [("nearest4", "hash4")],
        "spread less hash": [("spread4", "hash4")],
        "hashall less hash0": [("hashall", "hash0")],
    }
    assert comparisons_of(["list", "nearest2"]) == {}


def test_too_few_bystanders_are_said():
    cells = {"hash0": {"s": {"s": cell(0.8), "a": cell(0.2)}}}
    result = describe_containment(collect(cells, {"s": cell(0), "a": cell(0)}, {}, {"hash0": {"s": ["a"]}}), 200)
    assert result["undefined"] == "1 bystanders were never negatives; at least 4 needed" and result["comparisons"] is None


@pytest.fixture(scope="module")
def kept():
    return read_json(KEPT / "containment.json")


def test_the_kept_study_s_own_adapters_leak_as_its_pairs_say(kept):
    pairs = pd.read_csv(KEPT / "pairs.csv")
    pairs = pairs[(pairs["layer"] == 21) & pairs["persona"].isin(kept["bystanders"])]
    for source, rows in pairs.groupby("source"):
        found = kept["per_condition"]["hash4"][source]
        assert len(rows) == len(kept["bystanders"]) - 1 and not rows["negative"].any() and not rows["base_rate"].any()
        assert found["leakage"] == pytest.approx((rows["found"] / rows["total"]).mean())
        assert found["own_rate"] == rows["source_rate"].iloc[0] and found["gain"] == pytest.approx(rows["logprob_gain"].mean())


def test_the_kept_study_s_answers_follow_from_its_conditions(kept):
    compared, conditions = kept["comparisons"], kept["per_condition"]
    adjusted = holm({name: block["relative_leakage"]["p"] for name, block in compared.items()})
    for name, pairs in comparisons_of(list(conditions)).items():
        first = compared[name]["relative_leakage"]
        single = [
            conditions[pair[0]][source]["relative_leakage"] - conditions[pair[1]][source]["relative_leakage"]
            for pair in pairs
            for source in kept["sources"]
        ]
        assert first["difference"] == pytest.approx(np.mean(single)) and first["same_sign"] == (len(set(np.sign(single))) == 1)
        assert first["p_holm"] == pytest.approx(adjusted[name]) and compared[name]["answer"] == answer_of(first)
    assert list(compared) == list(comparisons_of(list(conditions)))


def test_the_kept_study_s_table_is_its_json(kept):
    table = pd.read_csv(KEPT / "containment.csv").set_index(["condition", "source"])
    for (condition, source), row in table.iterrows():
        found = kept["per_condition"][condition][source]
        for measure in ("own_rate", "leakage", "relative_leakage", "gain_difference"):
            assert row[measure] == pytest.approx(found[measure]), (condition, source, measure)
    assert len(table) == 11 * 4
