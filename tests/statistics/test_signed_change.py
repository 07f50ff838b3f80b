"""Change from a base rate above 0: intervals, exact tests, what the base rates explain, even spread, and simulated truth."""

import copy

import numpy as np
import pandas as pd
import pingouin
import pytest
from scipy import stats

from persona_leakage.statistics.core.bootstrap import draw_resamples, resample
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.leakage.base_confound import describe_base_confound, is_explained, partial_correlation
from persona_leakage.statistics.leakage.baseline_predictors import baseline_predictors, plain_baselines
from persona_leakage.statistics.leakage.conclusions import EXPLAINED, draw_conclusions
from persona_leakage.statistics.leakage.even_spread import leave_out_even, spread_test
from persona_leakage.statistics.leakage.signed_change import (
    describe_change,
    exact_mcnemar,
    fisher_p,
    newcombe_interval,
    paired_interval,
    share_of_headroom,
)
from persona_leakage.statistics.leakage.summary import analyse
from persona_leakage.statistics.validation.levelling_worlds import EXPECTED, WORLDS, levelling_answers
from persona_leakage.tables.build import clustered_error, errors_of
from tests.support.synthetic import QUICK, SMALL, check_strict, checked, make_tables, read_back

OWN_KEYS = {"even_spread", "signed_change"}


def with_base(world=SMALL, base=None):
    """The synthetic pairs with base rates: ``base`` {persona: rate}, else random hundredths."""
    table = make_tables(world)["pairs"]
    names, generator = sorted(set(table["persona"])), np.random.default_rng(3)
    base = base or dict(zip(names, generator.integers(5, 60, size=len(names)) / 100, strict=True))
    return table.assign(base_rate=[base[name] for name in table["persona"]])


def entry_of(result, name):
    """An entry of the verdict."""
    return next(entry for entry in result["verdict"] if entry["id"] == name)


def test_newcombes_published_example():
    """Newcombe (1998), table II, example (a), method 10: 56 of 70 less 48 of 80."""
    assert newcombe_interval(56, 70, 48, 80) == pytest.approx([0.0524, 0.3339], abs=5e-5)


def test_fishers_test_against_scipy():
    """Of other numbers of replies at once, at the ends as well."""
    generator = np.random.default_rng(0)
    total = generator.integers(1, 60, size=50)
    found, base = generator.integers(0, total + 1), generator.integers(0, total + 1)
    found[:3], base[:3] = (0, total[1], 0), (0, 0, total[2])
    cells = zip(found, base, total, strict=True)
    expected = [stats.fisher_exact([[one, size - one], [other, size - other]]).pvalue for one, other, size in cells]
    assert fisher_p(found, base, total) == pytest.approx(expected)


def test_share_of_headroom_by_hand():
    """Half of the way from 0.6 up to 1, and from 0.4 down to 0; no way left, no change."""
    leakage, base = np.array([0.2, -0.2, 0.0, 0.0, 0.5]), np.array([0.6, 0.4, 1.0, 0.0, np.nan])
    assert share_of_headroom(leakage, base) == pytest.approx([0.5, -0.5, 0.0, 0.0, np.nan], nan_ok=True)


def test_clustered_error_is_that_of_the_question_wise_differences():
    """With equal totals; what questions do to adapter and base alike drops out; replies of one question count as one."""
    generator = np.random.default_rng(0)
    found, base = generator.integers(0, 11, size=(3, 40)), generator.integers(0, 11, size=(3, 40))
    total = np.full((3, 40), 10)
    expected = stats.sem((found - base) / 10, axis=1)
    assert clustered_error(found, total, base, total) == pytest.approx(expected, rel=0.05)
    assert clustered_error(found, total, np.maximum(found, 1) - 1 + (found == 0), total).max() < expected.min()
    assert clustered_error(found, total, found, total) == pytest.approx(0, abs=1e-12)
    assert np.isnan(clustered_error(found[:, :4], total[:, :4], base[:, :4], total[:, :4])).all()


def test_errors_need_the_same_questions():
    cell = {"per_question": {f"question {number}?": {"found": number, "total": 9} for number in range(6)}}
    other = {"per_question": {**cell["per_question"], "one more?": {"found": 0, "total": 9}}}
    assert errors_of({"pirate": cell}, {"pirate": cell})["pirate"] == pytest.approx(0, abs=1e-12)
    assert np.isnan(errors_of({"pirate": cell}, {"pirate": other})["pirate"])


def test_change_per_persona():
    """Fisher's exact test and Newcombe's interval of each cell, Holm over the bystanders of a source."""
    names = ["risen", "fallen", "same", "odd"]
    rows = {"found": [56, 10, 48, 40], "base_rate": [0.5, 0.6, 0.6, 0.333], "leakage_se": [0.1, 0.2, float("nan"), 0.1]}
    table = pd.DataFrame({"source": "villain", "persona": names, "total": 80, **rows}).assign(rate=lambda each: each["found"] / 80)
    block = describe_change(pd.concat([table, table]))["villain"]
    assert (block["n"], block["risen"], block["fallen"]) == (4, 1, 1)
    assert block["mean"] == pytest.approx(np.mean([0.2, -0.475, 0.0, 0.167]))
    personas = block["personas"]
    assert personas["risen"]["interval"] == pytest.approx(newcombe_interval(56, 80, 40, 80))
    assert personas["risen"]["p"] == pytest.approx(stats.fisher_exact([[56, 24], [40, 40]]).pvalue)
    assert personas["risen"]["p_holm"] == pytest.approx(3 * personas["risen"]["p"]), "the second smallest of four"
    assert personas["same"]["leakage"] == 0 and personas["same"]["se"] is None and personas["fallen"]["se"] == 0.2
    assert personas["same"]["interval"][0] < 0 < personas["same"]["interval"][1]
    assert personas["odd"]["undefined"] is None, "27 of 80 is .3375, within the rounding of .333"
    assert block["test"] == "Fisher's exact test"
    few = describe_change(table.assign(found=4, total=8, rate=0.5, base_rate=0.333))["villain"]["personas"]["odd"]
    assert few["interval"] is None and few["p_holm"] is None and "base rate is no share" in few["undefined"]


def test_mcnemar_by_hand():
    """9 items gained, 1 lost: 2 (C(10,0) + C(10,1)) / 2^10 = 22 / 1024; items that stay do not count."""
    assert exact_mcnemar(35, 29, 21, 20) == {"gained": 9, "lost": 1, "p": pytest.approx(22 / 1024)}
    assert exact_mcnemar(35, 21, 29, 20)["p"] == pytest.approx(22 / 1024)
    assert exact_mcnemar(2, 1, 1, 1) == {"gained": 0, "lost": 0, "p": 1.0}


@pytest.mark.parametrize(
    ("both", "gained", "lost", "neither", "interval"),
    [
        (36, 12, 2, 0, [0.0569, 0.3404]),  # Newcombe (1998), Statistics in Medicine 17, 2635, his first example
        (14, 5, 0, 22, [0.011, 0.226]),  # Altman et al. (2000), Statistics with Confidence, p. 52
        (1, 1, 7, 12, [-0.507, -0.026]),  # Fagerland, Lydersen & Laake (2014), airway hyper-responsiveness
    ],
)
def test_published_paired_intervals(both, gained, lost, neither, interval):
    total, shown, began = both + gained + lost + neither, both + gained, both + lost
    found, digits = paired_interval(total, shown, began, both), 4 if both == 36 else 3
    assert np.round(found, digits).tolist() == interval
    assert paired_interval(total, began, shown, both) == pytest.approx([-end for end in reversed(found)])


def test_paired_intervals_at_the_ends():
    """Nothing changes, or everything; they stay within -1 and 1."""
    for shown, began, both, change in ((0, 0, 0, 0), (20, 20, 20, 0), (20, 0, 0, 1), (0, 20, 0, -1)):
        low, high = paired_interval(20, shown, began, both)
        assert -1 - 1e-12 <= low <= change <= high <= 1 + 1e-12


def test_change_of_the_same_items():
    """9 items gained and 1 lost, 8 gained, none changed."""
    names, found, both = ["pirate", "nurse", "hero"], [34, 34, 26], [25, 26, 26]
    facts = {"layer": 1, "source": "villain", "category": "c", "related": False, "total": 35, "base_rate": 26 / 35, "source_rate": 0.9}
    table = pd.DataFrame({**facts, "persona": names, "cosine": [0.1, 0.2, 0.3], "found": found, "base_both": both})
    table["rate"] = table["found"] / 35
    block = describe_change(table)["villain"]
    assert block["test"] == "exact McNemar test" and (block["risen"], block["fallen"]) == (2, 0)
    pirate, nurse, hero = (block["personas"][name] for name in names)
    assert (pirate["gained"], pirate["lost"], pirate["p"]) == (9, 1, pytest.approx(22 / 1024))
    assert pirate["interval"] == paired_interval(35, 34, 26, 25)
    assert (nurse["gained"], nurse["lost"], nurse["p"]) == (8, 0, pytest.approx(2 / 256))
    assert nurse["p_holm"] == pytest.approx(6 / 256) and pirate["p_holm"] == pytest.approx(44 / 1024)
    assert hero["p"] == 1 and hero["leakage"] == 0 and hero["interval"][0] < 0 < hero["interval"][1]


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


def test_spread_test_ignores_what_does_not_hold_over_questions():
    """p is uniform where personas differ in single questions only, however much; a lasting difference is found."""
    p_values = []
    for number in range(60):
        generator = np.random.default_rng(number)
        chances = 1 / (1 + np.exp(-generator.normal(size=12) - 2 * generator.normal(size=(30, 12))))
        rates = generator.binomial(8, chances) / 8
        p_values.append(spread_test(rates, 199, generator)["p"])
    assert stats.kstest(p_values, "uniform").pvalue > 0.01 and np.mean(np.array(p_values) <= 0.05) <= 0.15
    found = spread_test(rates + 0.3 * (np.arange(30) < 10)[:, None], 199, generator)
    assert found["p"] == 1 / 200 and found["sd"] > 1.5 * found["sd_by_chance"]


def even_tables(sources=()):
    """Synthetic tables with base rates in which the bystanders of ``sources`` all show the behaviour with the same chance."""
    tables, generator = make_tables(SMALL), np.random.default_rng(1)
    questions = tables["question_counts"]
    even = questions["source"].isin(sources)
    questions.loc[even, "found"] = generator.binomial(10, 0.6, size=even.sum())
    sums = questions.groupby(["source", "persona"])["found"].sum()
    pairs = with_base()
    pairs["found"] = [sums[pair] for pair in zip(pairs["source"], pairs["persona"], strict=True)]
    return {**tables, "pairs": pairs.assign(rate=pairs["found"] / pairs["total"])}


ALL = ("source0", "source1", "source2")


@pytest.mark.parametrize(("even", "answer"), [((), "supported"), (("source1",), "cannot tell"), (ALL, "not supported")])
def test_even_sources_take_no_part(tmp_path, even, answer):
    """They have no correlations, and the finding says so."""
    table, counts, _ = read_back(even_tables(even), tmp_path)
    result = checked(table, counts)
    assert {source for source, block in result["even_spread"].items() if block["even"]} == {*even}
    entry = entry_of(result, "even_spread")
    assert entry["answer"] == answer and all(name in entry["because"] for name in even)
    layer = result["layers"]["0"]
    assert {*layer["per_source"]} == {*ALL}
    assert {name for name, block in layer["per_source"].items() if block["spearman_rho"] is None} == {*even}
    assert all("spreads evenly" in result["joint"]["sources_left_out"].get(name, result["joint"]["undefined"]) for name in even)
    assert layer["pooled"]["n"] == (3 - len(even)) * 14
    if len(even) == 3:
        assert "spreads evenly" in layer["pooled"]["undefined"] and "spreads evenly" in entry_of(result, "association")["because"]
    assert leave_out_even(matrices_of(table), counts).even == frozenset(even)


def test_without_counts_nobody_is_left_out(result):
    assert all("no counts per question" in block["undefined"] for block in result["even_spread"].values())
    assert entry_of(result, "even_spread")["answer"] == "cannot tell" and result["joint"]["sources_left_out"] == {}


@pytest.mark.parametrize(
    ("name", "tables", "least"),
    [
        *((name, tables, 1.0) for name, tables in (("levelling", 2), ("even spread", 1), ("pair effect on levelling", 1))),
        *(pytest.param(name, 40, 0.9, marks=pytest.mark.slow) for name in WORLDS),
    ],
)
def test_worlds_of_levelling(name, tables, least):
    """Levelling alone supports no association; a pair effect on top of it is found; even spread is called that."""
    found = [levelling_answers(WORLDS[name], [1, number]) for number in range(tables)]
    shares = {entry: np.mean([each[entry] in right for each in found]) for entry, right in EXPECTED[name].items()}
    assert min(shares.values()) >= least, (shares, found)
