"""Control adapters in the tables and statistics: leakage beyond them, by hand and against scipy."""

import re

import pandas as pd
import pytest
from scipy import stats

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.statistics.leakage.controls import describe_controls
from persona_leakage.statistics.leakage.signed_change import newcombe_interval, paired_interval
from persona_leakage.statistics.leakage.summary import analyse
from persona_leakage.tables.build import add_controls, add_pairings, errors_of
from persona_leakage.tables.read import read_pairs
from tests.support.synthetic import QUICK, SMALL, checked, make_tables


def cell(*found):
    """The cell of a persona with so many of 10 replies to each question."""
    counts = {f"question {number}?": {"found": count, "total": 10} for number, count in enumerate(found)}
    return {"rate": sum(found) / (10 * len(found)), "per_question": counts}


EVALUATIONS = {"villain": {"villain": cell(9, 9, 9, 9, 9, 9), "nurse": cell(5, 4, 6, 3, 2, 7), "pirate": cell(1, 2, 3, 4, 5, 6)}}
CLEAN = {"villain": {"villain": cell(1, 1, 1, 1, 1, 1), "nurse": cell(1, 0, 2, 0, 1, 2), "pirate": cell(1, 2, 3, 4, 5, 6)}}


def test_columns_of_a_control():
    rates = {name: each["rate"] for name, each in EVALUATIONS["villain"].items()}
    table = pd.DataFrame([{"source": "villain", "persona": name, "rate": rates[name]} for name in ("nurse", "pirate", "nurse")])
    assert add_controls(table, EVALUATIONS, {}) is table
    found = add_controls(table, EVALUATIONS, {"clean": CLEAN})
    assert found["clean_rate"].tolist() == pytest.approx([0.1, 0.35, 0.1]) and set(found["source_clean_rate"]) == {0.1}
    assert found["leakage_beyond_clean"].tolist() == pytest.approx([0.35, 0, 0.35])
    errors = errors_of(EVALUATIONS["villain"], CLEAN["villain"])
    assert found["leakage_beyond_clean_se"].tolist() == [errors[name] for name in ("nurse", "pirate", "nurse")] and errors["nurse"] > 0


@pytest.fixture(scope="module")
def table():
    """Synthetic pairs with base rates and controls: training alone adds 3 points; shuffled rows add 30 to everybody but one."""
    pairs = make_tables(SMALL)["pairs"]
    pairs = pairs.assign(base_rate=0.05, source_base_rate=0.05, source_rate=0.9, source_total=100)
    shuffled = pairs["persona"].map(lambda name: 0.1 if name == "persona9" else 0.35)
    for control, rates, own in (("clean", 0.08, 0.07), ("shuffled", shuffled, 0.4)):
        pairs = pairs.assign(**{f"{control}_rate": rates, f"source_{control}_rate": own})
    return pairs


def test_controls_against_scipy(table):
    """Adapter, control and the one beyond the other; the sentence says which changes of the source exclude zero."""
    result = checked(table)
    assert set(result["controls"]) == {"clean", "shuffled"} and "controls" not in analyse(make_tables(SMALL)["pairs"], 0, QUICK)
    block, rows = result["controls"]["clean"]["source1"], table[(table["source"] == "source1") & (table["layer"] == 0)]
    assert block["adapter"]["source_change"] == pytest.approx(0.85) and block["control"]["source_change"] == pytest.approx(0.02)
    assert block["control"]["source_interval"] == pytest.approx(newcombe_interval(7, 100, 5, 100))
    assert block["leakage_beyond_clean"]["source_interval"] == pytest.approx(newcombe_interval(90, 100, 7, 100))
    assert block["leakage_beyond_clean"]["mean"] == pytest.approx((rows["rate"] - 0.08).mean())
    assert block["adapter"]["mean"] == pytest.approx(result["signed_change"]["source1"]["mean"])
    assert block["adapter"]["risen"] == result["signed_change"]["source1"]["risen"] > block["control"]["risen"] == 0
    assert block["adapter"]["spearman_rho"] == pytest.approx(result["layers"]["0"]["per_source"]["source1"]["spearman_rho"])
    expected = stats.spearmanr(rows["cosine"], rows["rate"] - 0.08)
    assert block["leakage_beyond_clean"]["spearman_rho"] == pytest.approx(expected.statistic)
    assert block["control"]["undefined"] == "leakage is the same for all pairs" and block["control"]["spearman_rho"] is None
    said = (
        r"own rate is above zero \(0.85, 95 %.*with its adapter and does not exclude zero \(0.02,.*clean control.*two is above zero \(0.83,"
    )
    assert re.search(said, block["sentence"])
    below = describe_controls(table.assign(source_clean_rate=0.0, source_base_rate=0.3), 0, {})["clean"]["source1"]
    assert "and is below zero (-0.30," in below["sentence"]


def item_cell(shown):
    """The cell of a persona that answers items, each 0 or 1."""
    counts = {f"item {number}": {"found": found, "total": 1} for number, found in enumerate(shown)}
    return {"rate": sum(shown) / len(shown), "found": sum(shown), "total": len(shown), "per_question": counts}


def test_the_same_items_are_compared_in_pairs():
    """Adapter, control and base model answer the same ten items: counts of items shown in two states, and Newcombe's paired interval."""
    base, clean = item_cell([1, 0, 0, 0, 0, 0, 0, 0, 0, 0]), item_cell([1, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    after = item_cell([1, 1, 1, 1, 1, 0, 1, 0, 0, 0])
    names = ("villain", "nurse")
    evaluations, controls = {"villain": dict.fromkeys(names, after)}, {"clean": {"villain": dict.fromkeys(names, clean)}}
    facts = {"layer": 0, "source": "villain", "persona": "nurse", "cosine": 0.5, "rate": 0.6, "found": 6, "total": 10, "base_rate": 0.1}
    table = pd.DataFrame([{**facts, "source_rate": 0.6, "source_total": 10, "source_base_rate": 0.1}])
    table = add_pairings(add_controls(table, evaluations, controls), evaluations, dict.fromkeys(names, base), controls)
    counts = {"base_both": 1, "clean_both": 2, "clean_base_both": 1}
    assert table[[*counts, *(f"source_{name}" for name in counts)]].iloc[0].tolist() == [*counts.values()] * 2
    block = describe_controls(table, 0, {})["clean"]["villain"]
    assert block["adapter"]["source_interval"] == paired_interval(10, 6, 1, 1) and block["adapter"]["test"] == "exact McNemar test"
    assert block["control"]["source_interval"] == paired_interval(10, 2, 1, 1)
    assert block["leakage_beyond_clean"]["source_interval"] == paired_interval(10, 6, 2, 2)
    wider = newcombe_interval(6, 10, 2, 10)
    assert wider[0] < block["leakage_beyond_clean"]["source_interval"][0], "these answers go together, so pairing narrows the interval"
    with pytest.raises(InputError, match="two evaluations have different items"):
        add_pairings(table, evaluations, dict.fromkeys(names, item_cell([1])), {})


def test_sources_that_spread_evenly_have_no_correlations(table):
    block = describe_controls(table, 0, {"source1": "spreads evenly"})["clean"]
    assert block["source1"]["leakage_beyond_clean"]["undefined"] == "spreads evenly" and block["source1"]["adapter"]["spearman_rho"] is None
    assert block["source0"]["leakage_beyond_clean"]["spearman_rho"] is not None


def test_leakage_beyond_a_control_must_be_the_difference(table, tmp_path):
    table.assign(leakage_beyond_clean=table["rate"] - table["clean_rate"]).to_csv(tmp_path / "pairs.csv", index=False)
    assert "leakage_beyond_clean" in read_pairs(tmp_path / "pairs.csv")
    table.assign(leakage_beyond_clean=table["rate"]).to_csv(tmp_path / "pairs.csv", index=False)
    with pytest.raises(InputError, match=r"line 2: leakage_beyond_clean is .*, but rate - clean_rate is .* - 0.08"):
        read_pairs(tmp_path / "pairs.csv")


def test_a_source_without_usable_replies_has_no_change_of_its_own(table):
    block = describe_controls(table.assign(source_clean_rate=float("nan")), 0, {})["clean"]["source1"]
    assert block["adapter"]["source_interval"] is not None and block["adapter"]["mean"] is not None
    assert block["control"]["source_change"] is block["leakage_beyond_clean"]["source_interval"] is None
    assert "is unknown (no usable reply) with the clean control" in block["sentence"]
