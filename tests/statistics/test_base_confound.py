"""What base rates above 0 explain: partial correlations, their predictor, and the rules of the verdict."""

import copy

import numpy as np
import pingouin
import pytest
from scipy import stats

from persona_leakage.statistics.core.bootstrap import draw_resamples, resample
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.leakage.base_confound import describe_base_confound, is_explained, partial_correlation
from persona_leakage.statistics.leakage.baseline_predictors import baseline_predictors, plain_baselines
from persona_leakage.statistics.leakage.conclusions import EXPLAINED, draw_conclusions
from persona_leakage.statistics.leakage.signed_change import share_of_headroom
from persona_leakage.statistics.leakage.summary import analyse
from tests.support.synthetic import QUICK, SMALL, check_strict, checked, entry_of, make_tables, with_base

OWN_KEYS = {"even_spread", "signed_change"}


def test_partial_correlation_by_hand():
    """(.6 - .5 * .4) / sqrt(.75 * .84) = .50395; nothing is left where the third determines one of them."""
    found = partial_correlation(np.array([0.6, 1.0]), np.array([0.5, 1.0]), np.array([0.4, 1.0]))
    assert found == pytest.approx([0.50395, np.nan], abs=1e-5, nan_ok=True)


@pytest.fixture(scope="module")
def result():
    """A full result of a table with base rates above 0, without counts per question."""
    return analyse(with_base(), 0, QUICK)


def test_correlations_with_the_base_against_pingouin(result):
    """Per source: rank correlations of cosine, leakage, base rate and rate after training, and the partial one."""
    check_strict(result)
    table = with_base()
    rows = table[(table["layer"] == 0) & (table["source"] == "source1")].copy()
    rows["leakage"] = (rows["rate"] - rows["base_rate"]).round(12)
    rows["headroom"] = share_of_headroom(rows["leakage"].to_numpy(), rows["base_rate"].to_numpy())
    block = result["layers"]["0"]["base_confound"]["per_source"]["source1"]
    for key, (x, y) in {
        "plain": ("cosine", "leakage"),
        "leakage_base": ("leakage", "base_rate"),
        "cosine_base": ("cosine", "base_rate"),
        "cosine_outcome": ("cosine", "rate"),
        "cosine_headroom": ("cosine", "headroom"),
    }.items():
        assert block[key] == pytest.approx(stats.spearmanr(rows[x], rows[y]).statistic), key
    expected = pingouin.partial_corr(rows, x="cosine", y="leakage", covar="base_rate", method="spearman")
    assert block["partial"] == pytest.approx(expected["r"].iloc[0], abs=1e-9)
    assert block["partial_interval"][0] < block["partial"] < block["partial_interval"][1]
    assert block["plain"] == pytest.approx(result["layers"]["0"]["per_source"]["source1"]["spearman_rho"])
    assert block["n_with_room"] == len(rows) and block["cosine_leakage_with_room"] == pytest.approx(block["plain"])


def test_personas_without_room_are_left_out():
    """A base rate of exactly four fifths leaves a fifth."""
    names = sorted(set(with_base()["persona"]))
    base = dict(zip(names, np.linspace(0.1, 0.97, len(names)), strict=True)) | {"source0": 0.1, "source1": 0.1, "source2": 0.1}
    base[names[3]] = 0.8
    table = with_base(base=base)
    result = analyse(table, 0, QUICK)
    block = result["layers"]["0"]["base_confound"]["per_source"]["source1"]
    rows = table[(table["layer"] == 0) & (table["source"] == "source1") & (table["base_rate"] <= 0.8)]
    assert block["n_with_room"] == len(rows) < len(names)
    expected = stats.spearmanr(rows["cosine"], rows["rate"] - rows["base_rate"]).statistic
    assert block["cosine_leakage_with_room"] == pytest.approx(expected)


def test_resampled_partials_are_those_of_the_resampled_personas():
    """The partial bootstrap's correlations in one resample, against a table in which personas stand as often as they are drawn."""
    matrices = matrices_of(with_base())
    draws = draw_resamples(matrices, [0, 1, 2], 200, 5)
    block = describe_base_confound(matrices, resample(matrices, [0, 1, 2], draws), draws)[0]
    drawn = []
    members = np.flatnonzero(~np.isnan(matrices.rate[1]))
    for weights in draws.weights:
        rows = np.repeat(members, weights[members].astype(int))
        values = (matrices.cosines["cosine"][0, 1, rows], matrices.leakage[1, rows], matrices.base[rows])
        inverse = np.linalg.inv(np.corrcoef(stats.rankdata(values, axis=1)))
        drawn.append(-inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1]))
    rho, interval = block["per_source"]["source1"]["partial"], block["per_source"]["source1"]["partial_interval"]
    half = stats.t.ppf(0.975, len(members) - 1) * np.std(drawn, ddof=1) / (1 - rho**2)
    assert np.arctanh(interval) == pytest.approx([np.arctanh(rho) - half, np.arctanh(rho) + half])


def test_without_base_rates_nothing_is_added():
    """All 0, as for a marker: neither keys nor predictors, and the same numbers as without the column."""
    table = make_tables(SMALL)["pairs"]
    plain, zero = analyse(table, 0, QUICK), analyse(table.assign(base_rate=0.0), 0, QUICK)
    assert not OWN_KEYS & {*zero} and "base_confound" not in zero["layers"]["0"]
    assert "base_outcome" not in {
        *zero["layers"]["0"]["baseline_predictors"]["alone"],
        *zero["layers"]["0"]["baseline_predictors"]["left_out"],
    }
    assert plain["layers"] == zero["layers"] and plain["verdict"] == zero["verdict"] and plain["holm"] == zero["holm"]


def test_base_outcome_is_a_predictor(result):
    """In log-odds where leakage is; known before training."""
    baselines = result["layers"]["0"]["baseline_predictors"]
    assert "base_outcome" in baselines["alone"]
    assert all("base_outcome" in baselines[name]["controls"] for name in baselines if name.startswith("partial"))
    matrices = matrices_of(with_base())
    baselines, _ = baseline_predictors(matrices, [0, 1, 2])
    assert (baselines["base_outcome"][0, 2] == matrices.base[matrices.bystanders]).all()
    plain = plain_baselines(matrices, [0, 1, 2], baselines)["base_outcome"][0, 2]
    found = matrices.base[matrices.bystanders] * 100
    assert plain == pytest.approx(np.log((found + 0.5) / (100 - found + 0.5)))


def levelled():
    """A table in which the base rate explains everything: closeness goes with it, and all personas end at 90 %."""
    table = make_tables(SMALL)["pairs"]
    mean = table[table["layer"] == 0].groupby("persona")["cosine"].mean().rank()
    table = with_base(base={name: round(0.8 - 0.04 * rank, 2) for name, rank in mean.items()})
    shown = table["persona"].map(mean)
    return table.assign(cosine=0.02 * shown, found=90, total=100, rate=0.9, source_base_rate=0.1)


def test_a_table_in_which_the_base_explains_everything():
    """Leakage is .9 less the base rate: rho with closeness is 1, and nothing of it is left."""
    result = checked(levelled())
    block = result["layers"]["0"]["base_confound"]
    assert block["explained"] is True and "determines leakage or cosine wholly" in block["partial"]["undefined"]
    assert block["per_source"]["source0"]["plain"] == pytest.approx(1)
    assert block["per_source"]["source0"]["leakage_base"] == pytest.approx(-1)
    association = entry_of(result, "association")
    assert association["answer"] == "cannot tell" and association["because"].startswith(EXPLAINED)
    confound = entry_of(result, "base_confound")
    assert confound["answer"] == "not supported" and "began explains the association" in confound["sentence"]


def test_equal_base_rates_explain_nothing():
    table = with_base(base=dict.fromkeys(set(make_tables(SMALL)["pairs"]["persona"]), 0.1))
    result = checked(table)
    assert "the same for all bystanders" in result["layers"]["0"]["base_confound"]["undefined"]
    assert entry_of(result, "base_confound")["answer"] == "cannot tell"
    assert not entry_of(result, "association")["because"].startswith(EXPLAINED)


@pytest.mark.parametrize(
    ("plain", "partial", "explained", "answer"),
    [
        ([0.1, 0.5], [0.01, 0.4], False, "supported"),
        ([0.1, 0.5], [-0.01, 0.4], True, "not supported"),
        ([0.1, 0.5], [-0.4, -0.01], True, "not supported"),
        ([-0.5, -0.1], [-0.4, -0.01], False, "supported"),
        ([-0.5, -0.1], [-0.4, 0.01], True, "not supported"),
        ([-0.1, 0.5], [-0.4, 0.4], False, "cannot tell"),
        ([-0.1, 0.5], [0.1, 0.4], False, "cannot tell"),
        (None, [0.1, 0.4], None, "cannot tell"),
        ([0.1, 0.5], None, None, "cannot tell"),
    ],
)
def test_rules_of_base_confound(result, plain, partial, explained, answer):
    result = copy.deepcopy(result)
    layer = result["layers"]["0"]
    layer["within_source"]["interval"], layer["base_confound"]["partial"]["interval"] = plain, partial
    layer["base_confound"]["explained"] = is_explained(plain, partial)
    assert layer["base_confound"]["explained"] is explained
    found = {entry["id"]: entry for entry in draw_conclusions(result)}
    assert found["base_confound"]["answer"] == answer
    for name in ("association", "new_sources"):
        assert found[name]["because"].startswith(EXPLAINED) is bool(explained), name
        assert not explained or found[name]["answer"] == "cannot tell"
    assert not found["pair_specific"]["because"].startswith(EXPLAINED)
