"""Tables that are short of something: null with its reason, never a crash, never a silent number; strict JSON."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from persona_leakage.figures import layers
from persona_leakage.figures.style import ORANGE
from persona_leakage.infrastructure.files import write_json
from persona_leakage.statistics.core.bootstrap import Bootstrap, describe_mean
from persona_leakage.statistics.leakage.correlations import correlate_ranks
from persona_leakage.statistics.leakage.summary import FAMILIES, analyse
from persona_leakage.statistics.validation.simulation import SCENARIOS
from tests.support.synthetic import QUICK, SMALL, checked, make_tables, read_back


def shape_of(value):
    """The keys of nested blocks, without what hangs on names and values."""
    if isinstance(value, dict) and "undefined" in value:
        return sorted(value)
    return {key: shape_of(child) for key, child in value.items()} if isinstance(value, dict) else None


def silence(pairs, source=None, found=0):
    """The same number of marked replies everywhere, or with one source."""
    rows = pairs["source"] == source if source else slice(None)
    pairs.loc[rows, "found"] = found
    pairs["rate"] = pairs["found"] / pairs["total"]
    return pairs


def few_bystanders(pairs, count):
    strangers = sorted(set(pairs["persona"]) - set(pairs["source"]))[:count]
    return pairs[pairs["persona"].isin([*strangers, *pairs["source"].unique()])]


def with_hole(pairs, column):
    """One value missing, in all layers of the pair for a rate, in one for a cosine."""
    first = pairs.iloc[0]
    rows = (pairs["source"] == first["source"]) & (pairs["persona"] == first["persona"])
    if column != "rate":
        rows &= pairs["layer"] == first["layer"]
    pairs.loc[rows, column] = np.nan
    return pairs


DEGENERATE = {
    "nobody leaks": (lambda pairs: silence(pairs), "leakage is the same for all bystanders"),
    "everybody leaks": (lambda pairs: silence(pairs, found=100), "leakage is the same for all bystanders"),
    "four bystanders": (lambda pairs: few_bystanders(pairs, 4), "4 common bystander(s)"),
    "a rate of each source missing": (
        lambda pairs: pairs.assign(rate=pairs["rate"].where(pairs["persona"] != "persona5")),
        "source1: rate is missing in 2 of 28 pairs",
    ),
    "all cosines missing": (lambda pairs: pairs.assign(cosine=np.nan), "source2: cosine is missing in 28 of 28 pairs"),
    "one cosine for all": (lambda pairs: pairs.assign(cosine=0.5), "cosine is the same for all bystanders at layer 0"),
    "three pairs": (lambda pairs: few_bystanders(pairs, 1).iloc[:3], "1 common bystander(s)"),
}


@pytest.mark.parametrize(("spoil", "reason"), DEGENERATE.values(), ids=DEGENERATE)
def test_what_cannot_be_computed_is_null_with_its_reason(spoil, reason):
    pairs = spoil(make_tables(SMALL)["pairs"])
    result = checked(pairs)
    assert reason in result["joint"]["undefined"]
    layer = result["layers"]["0"]
    for block in (layer["within_source"], layer["double_centred"], layer["chance"]["association"], layer["baseline_predictors"]["partial"]):
        assert reason in block["undefined"]
        assert all(value is None for key, value in block.items() if key not in ("undefined", "clear_of_floor"))
    answers = {entry["id"]: entry["answer"] for entry in result["verdict"]}
    assert {answers[name] for name in ("association", "pair_specific", "source_identity", "beyond_baselines", "new_sources", "level")} == {
        "cannot tell"
    }
    assert set(result["holm"]) == set(FAMILIES)


def test_undefined_blocks_have_the_keys_of_defined_ones():
    pairs = make_tables(SMALL)["pairs"]
    defined, empty = analyse(pairs, 0, QUICK), analyse(silence(pairs.copy()), 0, QUICK)
    for key in ("within_source", "meta_analysis", "double_centred", "difference_from_headline", "chance", "prediction", "specificity"):
        assert shape_of(empty["layers"]["1"][key]) == shape_of(defined["layers"]["1"][key]), key
    assert shape_of(empty["layers"]["1"]["baseline_predictors"]) == shape_of(defined["layers"]["1"]["baseline_predictors"])
    assert shape_of(empty["effective_sources"]) == shape_of(defined["effective_sources"])


@pytest.mark.parametrize("column", ["rate", "cosine"])
def test_a_missing_value_costs_its_source_alone(column):
    """Null with a reason for the source that lacks it, out of what takes all sources together; the others stay."""
    result = checked(with_hole(make_tables(SMALL)["pairs"], column))
    first, *others = result["layers"]["0"]["per_source"].values()
    name = {"rate": "leakage", "cosine": "cosine"}[column]
    assert first["undefined"] == f"{name} is missing in 1 of 14 pairs"
    assert (first["spearman_rho"], first["kendall_tau"], first["spearman_interval"]) == (None, None, None)
    assert all(block["undefined"] is None and block["spearman_interval"] for block in others)
    assert result["joint"]["sources"] == ["source1", "source2"] and result["joint"]["bystanders_left_out"] == []
    assert f"{column} is missing in" in result["joint"]["sources_left_out"]["source0"]
    assert result["layers"]["0"]["within_source"]["n_sources"] == 2
    if column == "rate":
        assert result["leakage"]["source0"]["no_comparison"] == "a bystander's rate is missing"
        assert result["leakage"]["source0"]["bystanders_above_source"] is None
        assert len(result["leakage"]["source0"]["cells"]) == 13


def test_a_source_at_the_floor_is_no_evidence_for_pairs():
    """Most of its bystanders never leak: it stays in the mean, and out of the pair-specific tests."""
    pairs = make_tables(replace(SMALL, bystanders=20))["pairs"]
    few = (pairs["source"] == "source1") & ~pairs["persona"].isin([f"persona{index}" for index in range(3, 11)])
    pairs.loc[few, ["found", "rate"]] = 0
    result = checked(pairs.astype({"found": int}))
    block = result["layers"]["0"]["double_centred"]
    assert result["joint"]["sources"] == block["sources"] == ["source0", "source1", "source2"]
    assert block["clear_of_floor"]["sources"] == ["source0", "source2"]


@pytest.mark.parametrize(
    ("leaking", "reason"),
    [(0, "leakage is the same for all bystanders"), (1, "1 bystander(s) differ in leakage from the rest; at least 5 needed")],
)
def test_a_source_whose_bystanders_hardly_differ_is_left_out_with_its_name(leaking, reason):
    pairs = silence(make_tables(SMALL)["pairs"], "source1")
    if leaking:
        pairs.loc[(pairs["source"] == "source1") & (pairs["persona"] == "persona5"), ["found", "rate"]] = [50, 0.5]
    result = checked(pairs.astype({"found": int}))
    assert result["joint"]["sources"] == ["source0", "source2"] and result["joint"]["sources_left_out"] == {"source1": reason}
    assert result["layers"]["0"]["within_source"]["n_sources"] == 2
    assert result["verdict"][0]["because"].endswith(f"; without source1 ({reason})")
    assert f"{leaking} bystander(s) differ in leakage" in result["noise_ceiling"]["source1"]["samples"]["undefined"]
    assert result["layers"]["0"]["per_source"]["source1"]["spearman_interval"] is None
    assert result["leakage"]["source1"]["zeros"] == 14 - leaking


def test_five_perfect_sources_do_not_divide_by_nothing():
    """Leakage in the order of the cosine everywhere: correlations of 1 have no interval."""
    pairs = make_tables(replace(SMALL, sources=5))["pairs"]
    pairs["cosine"] = pairs.groupby(["source", "layer"])["persona"].rank() / 20
    pairs["found"] = (pairs["cosine"] * 100).round().astype(int)
    pairs["rate"] = pairs["found"] / pairs["total"]
    result = checked(pairs)
    block = result["layers"]["0"]["within_source"]
    assert block["mean_rho"] == pytest.approx(1) and block["interval_over_sources"] is None
    assert "all the same" in block["no_interval_over_sources"]


def test_one_bystander_with_another_cosine():
    pairs = make_tables(SMALL)["pairs"]
    pairs.loc[pairs["source"] == "source0", "cosine"] = np.where(pairs.loc[pairs["source"] == "source0", "persona"] == "persona5", 0.5, 0.1)
    result = checked(pairs)
    scores = result["layers"]["0"]["prediction"]["leave_one_persona_out"]
    assert scores["per_source"]["source0"] is None and scores["per_source"]["source1"] is not None


def test_an_unknown_variance_stays_unknown():
    """Where too many resamples have no correlation there is no interval, rather than a narrower one."""
    whole = np.random.default_rng(0).normal(size=(1, 2, 100)) / 10
    drawn = dict.fromkeys(("bystanders", "bystanders apart", "cells"), whole)
    bootstrap = Bootstrap([0, 1], [20, 20], {**drawn, "questions": np.where(np.arange(100) < 40, np.nan, whole)}, 1.1)
    block = describe_mean(bootstrap, 0, [0.5, 0.6])
    assert block["interval"] is block["interval_covers"] is None and block["interval_bystanders"] is not None
    assert np.isnan(bootstrap.shared_variance(0))


def test_few_questions_add_nothing_to_the_error(tmp_path):
    """Two questions say too little about other questions; the interval does not claim them."""
    pairs, counts, _ = read_back(make_tables(replace(SMALL, questions=2, replies=50)), tmp_path)
    assert analyse(pairs, 0, QUICK, counts)["layers"]["0"]["within_source"]["interval_covers"] == "bystanders"


def test_panels_of_different_size_do_not_make_a_correlation():
    """Independent cosine and leakage, one source with a tenth of the bystanders of the other."""
    generator = np.random.default_rng(2)
    frames = [
        make_tables(replace(SCENARIOS["no effect"], sources=1, bystanders=size), 3)["pairs"].query("layer == 0") for size in (200, 20)
    ]
    table = pd.concat([frame.assign(source=f"s{index}") for index, frame in enumerate(frames)])
    table["cosine"], table["rate"] = generator.random((2, len(table)))
    assert abs(correlate_ranks(table)["rho"]) < 0.15


def test_one_source_has_its_own_statistics_and_no_comparison():
    pairs = make_tables(replace(SMALL, sources=1, bystanders=20))["pairs"]
    result = checked(pairs)
    layer = result["layers"]["0"]
    assert layer["within_source"]["mean_rho"] == layer["per_source"]["source0"]["spearman_rho"]
    assert layer["chance"]["association"]["p"] <= 1
    assert layer["within_source"]["no_interval_over_sources"] == "1 sources; at least 5 needed"
    for block in (
        layer["meta_analysis"],
        layer["double_centred"],
        layer["chance"]["pair_specific"],
        layer["prediction"]["leave_one_source_out"],
    ):
        assert re.search("one source|1 source|fewer than 2 sources", block["undefined"])
    assert layer["baseline_predictors"]["left_out"]["mean_leakage_other_sources"] == "one source"


def test_a_source_may_lack_a_layer(tmp_path):
    """Also the headline: its line in the figure is drawn over the layers that it has."""
    pairs = make_tables(SMALL)["pairs"]
    headline = pairs["layer"].min()
    pairs = pairs[(pairs["layer"] != headline) | (pairs["source"] != "source0")].reset_index(drop=True)
    result = analyse(pairs, int(headline), QUICK)
    assert "source0" not in result["layers"][str(headline)]["per_source"]
    write_json(tmp_path / "correlation.json", {"meta": {"program": "correlate_leakage"}, **result})
    figure = layers.draw(SimpleNamespace(correlation=tmp_path / "correlation.json"))
    assert sum(line.get_color() == ORANGE for line in figure.axes[0].lines) == 3
