"""The second outcome, the marker's gain in log-probability: its statistics are those of the rate, of another number."""

import copy
import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.leakage.outcomes import gain_counts
from persona_leakage.statistics.leakage.summary import analyse
from persona_leakage.statistics.validation.simulation import SCENARIOS
from persona_leakage.tables.question_counts import read_question_counts
from persona_leakage.tables.read import read_pairs
from tests.reporting.test_report import build, check_numbers
from tests.support.made_up_results import RATES, make_results
from tests.support.synthetic import check_strict, make_tables, read_back

OPTIONS = {"min_category_size": 5, "permutations": 499, "bootstraps": 200}


def with_gains(slope=3.0, noise=0.3, seed=0, unread=0):
    """Synthetic tables of a pair effect whose pairs also have gains, in pairs and per question, that follow closeness by ``slope``.

    unread: so many questions have none.
    """
    tables = make_tables(SCENARIOS["pair effect"])
    generator, gains = np.random.default_rng(seed), {}
    pairs, questions = tables["pairs"], tables["question_counts"]
    for row in pairs[pairs["layer"] == 0].itertuples():
        gains[row.source, row.persona] = 4 + slope * row.cosine / 0.08 + noise * generator.normal()
    shifts = dict(zip(dict.fromkeys(questions["question"]), generator.normal(size=questions["question"].nunique()), strict=True))
    of_questions = np.array([gains[row.source, row.persona] + shifts[row.question] for row in questions.itertuples()])
    questions["logprob_gain"] = of_questions + 0.1 * generator.normal(size=len(questions))
    questions["logprob_replies"] = generator.integers(1, 4, size=len(questions))
    left = questions["question"].isin([f"question {number}?" for number in range(unread)])
    questions.loc[left, "logprob_gain"], questions.loc[left, "logprob_replies"] = np.nan, 0
    sums = questions.assign(sum=questions["logprob_gain"] * questions["logprob_replies"]).groupby(["source", "persona"])
    totals = sums[["sum", "logprob_replies"]].sum()
    keys = list(zip(pairs["source"], pairs["persona"], strict=True))
    pairs["logprob_replies"] = totals["logprob_replies"].loc[keys].to_numpy()
    pairs["logprob_gain"] = (totals["sum"] / totals["logprob_replies"]).loc[keys].to_numpy()
    pairs["source_logprob_gain"], pairs["source_total"] = 9.5, 100
    return tables


def analysed(tables, folder):
    pairs, *side_tables = read_back(tables, folder)
    result = analyse(pairs, 0, OPTIONS, *side_tables)
    check_strict(result)
    return result


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return analysed(with_gains(), tmp_path_factory.mktemp("gains"))


def gain_of(result):
    return result["outcomes"]["logprob_gain"]


def test_the_correlations_are_those_of_cosine_with_the_gain(result):
    pairs = with_gains()["pairs"]
    block, rows = gain_of(result)["layers"]["1"], pairs[(pairs["layer"] == 1) & (pairs["source"] == "source2")]
    assert block["per_source"]["source2"]["spearman_rho"] == pytest.approx(stats.spearmanr(rows["cosine"], rows["logprob_gain"]).statistic)
    every = pairs[pairs["layer"] == 1]
    assert block["pooled"]["pearson_r"] == pytest.approx(stats.pearsonr(every["cosine"], every["logprob_gain"]).statistic)
    assert result["layers"]["1"]["pooled"]["pearson_r"] == pytest.approx(stats.pearsonr(every["cosine"], every["rate"]).statistic)


def test_the_double_centred_correlation_takes_the_gain_as_it_is(result):
    pairs = with_gains()["pairs"]
    rows = pairs[(pairs["layer"] == 0) & pairs["persona"].str.startswith("persona")]
    centred = []
    for column in ("cosine", "logprob_gain"):
        values = rows.pivot_table(index="source", columns="persona", values=column).to_numpy()
        centred.append((values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()).ravel())
    assert gain_of(result)["layers"]["0"]["double_centred"]["r"] == pytest.approx(stats.pearsonr(*centred).statistic)


def test_agreement_is_the_rank_correlation_of_the_outcomes(result):
    pairs = with_gains()["pairs"]
    rows = pairs[(pairs["layer"] == 0) & (pairs["source"] == "source1")]
    block = gain_of(result)["agreement"]["source1"]
    assert block["agreement"] == pytest.approx(stats.spearmanr(rows["rate"], rows["logprob_gain"]).statistic)
    assert block["source_logprob_gain"] == 9.5 and block["mean_bystander_logprob_gain"] == pytest.approx(rows["logprob_gain"].mean())
    assert block["rho"]["rate"] == result["layers"]["0"]["per_source"]["source1"]["spearman_rho"]


def test_each_outcome_has_a_verdict_of_its_own(result):
    assert [entry["outcome"] for entry in result["verdict"]] == ["rate"] * 8
    found = {entry["id"]: entry for entry in gain_of(result)["verdict"]}
    assert {entry["outcome"] for entry in found.values()} == {"logprob_gain"} and "source_leads" not in found
    assert found["association"]["answer"] == found["pair_specific"]["answer"] == found["measurement"]["answer"] == "supported"
    assert "with the gain in log-probability" in found["beyond_baselines"]["because"]


def test_an_effect_the_other_way_is_called_reversed(tmp_path):
    result = analysed(with_gains(slope=-3.0), tmp_path)
    assert (result["verdict"][0]["answer"], gain_of(result)["verdict"][0]["answer"]) == ("supported", "reversed")


def test_rates_are_the_same_with_and_without_gains(result, tmp_path):
    tables = with_gains()
    bare = {
        name: table.drop(columns=[column for column in table if "logprob" in column]) if name != "cosines" else table
        for name, table in tables.items()
    }
    alone = analysed(bare, tmp_path)
    assert "no columns logprob_gain" in gain_of(alone)["undefined"]
    kept = copy.deepcopy(result)
    kept["outcomes"] = alone["outcomes"]
    assert kept == alone


def test_a_source_whose_bystanders_never_show_the_marker_is_judged_by_the_gain(tmp_path):
    tables = with_gains()
    for name in ("pairs", "question_counts"):
        silent = tables[name]["source"] == "source3"
        tables[name].loc[silent, "found"] = 0
    tables["pairs"].loc[tables["pairs"]["source"] == "source3", "rate"] = 0.0
    result = analysed(tables, tmp_path)
    assert "source3" not in result["joint"]["sources"] and "source3" in gain_of(result)["joint"]["sources"]
    alone = gain_of(result)["judged_by_it_alone"]
    assert list(alone) == ["source3"] and alone["source3"]["reason"] == "leakage is the same for all bystanders"
    assert alone["source3"]["rho"] == gain_of(result)["layers"]["0"]["per_source"]["source3"]["spearman_rho"] > 0.5
    assert alone["source3"]["interval"][0] > 0


def test_an_adapter_that_did_not_learn_is_judged_by_neither(tmp_path):
    tables = with_gains()
    tables["pairs"].loc[tables["pairs"]["source"] == "source3", "source_rate"] = 0.02
    result = analysed(tables, tmp_path)
    assert "source3" not in gain_of(result)["joint"]["sources"] and gain_of(result)["judged_by_it_alone"] == {}


def test_a_persona_without_gain_is_no_common_bystander(tmp_path):
    """All of its replies were cut, with the base model: no source has its gain. The sources stay, and so do its rates."""
    tables = with_gains()
    for name in ("pairs", "question_counts"):
        cut = tables[name]["persona"] == "persona7"
        tables[name].loc[cut, "logprob_gain"], tables[name].loc[cut, "logprob_replies"] = np.nan, 0
    result = analysed(tables, tmp_path)
    joint = gain_of(result)["joint"]
    assert joint["bystanders_left_out"] == ["persona7"] and len(joint["sources"]) == 5 and joint["bystanders"] == 44
    assert result["joint"]["bystanders_left_out"] == [] and gain_of(result)["verdict"][0]["answer"] == "supported"
    block = gain_of(result)["layers"]["0"]["per_source"]["source1"]
    assert block["undefined"] is None and block["n"] == result["layers"]["0"]["per_source"]["source1"]["n"] - 1


def test_the_report_sets_the_outcomes_side_by_side(tmp_path):
    """Every number of the section stands in correlation.json; the answers in words are those by sampled replies."""
    home = tmp_path / "a/results/made_up"
    make_results(home, per_question=1, words=20, rates={**RATES, "assistant": 0.0}, gains=True)
    build(home)
    page = home.parents[1] / "index.html"
    check_numbers(page, home)
    text = page.read_text()
    assert ">Two outcomes</h3>" in text and ">by the second outcome</th>" in text
    keys = re.findall(r'data-keys="([^"]*)"', text)
    shown = [json.loads(each.replace("&#34;", '"')) for each in keys]
    assert ["outcomes", "logprob_gain", "agreement", "villain", "agreement"] in shown
    assert ["outcomes", "logprob_gain", "verdict", 6, "answer"] in shown and [
        "outcomes",
        "logprob_gain",
        "verdict",
        7,
        "answer",
    ] not in shown


def test_without_any_gain_the_outcome_says_so(tmp_path):
    tables = with_gains()
    for name in ("pairs", "question_counts"):
        tables[name]["logprob_gain"], tables[name]["logprob_replies"] = np.nan, 0
    tables["pairs"]["source_logprob_gain"] = np.nan
    result = analysed(tables, tmp_path)
    assert "raise evaluation.sampling.max_new_tokens" in gain_of(result)["undefined"]
    assert result["verdict"][0]["answer"] == "supported"


def test_questions_that_were_not_read_take_no_part(tmp_path):
    """evaluation.teacher_forced.questions: the rest have no gain; halves and resamples are of those that were read."""
    tables = with_gains(unread=4)
    result = analysed(tables, tmp_path)
    ceilings = gain_of(result)["noise_ceiling"]["source0"]
    assert ceilings["questions"]["ceiling"] > 0.9 and ceilings["samples"]["ceiling"] is None
    assert gain_of(result)["layers"]["0"]["within_source"]["interval_covers"] == "bystanders and questions"
    matrices = matrices_of(tables["pairs"])
    counts = gain_counts(read_question_counts(tmp_path / "question_counts.csv", matrices))
    assert counts["found"].shape[-1] == 6 and np.nanmin(counts["total"]) >= 1


ONE = "has one of the columns logprob_gain and logprob_replies; give both, or neither"
CONTRADICTIONS = [
    ("question_counts", lambda table: table.drop(columns="logprob_replies"), ONE),
    ("pairs", lambda table: table.drop(columns="logprob_replies"), ONE),
    ("pairs", lambda table: table.assign(logprob_replies=0), "but logprob_replies is 0; it must be nan where there are none"),
]


@pytest.mark.parametrize(("name", "change", "said"), CONTRADICTIONS)
def test_gains_that_contradict_are_refused(tmp_path, name, change, said):
    tables = with_gains()
    with pytest.raises(InputError, match=said):
        analysed({**tables, name: change(tables[name])}, tmp_path)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("logprob_gain", "inf", "line 2: logprob_gain is 'inf'; it must be a number, or nan"),
        ("logprob_replies", "-1", "line 2: logprob_replies is '-1'; it must be a whole number, 0 or more"),
    ],
)
def test_a_bad_gain_is_named(tmp_path, column, value, said):
    tables = with_gains()
    for name, read in (("pairs", read_pairs), ("question_counts", lambda path: read_question_counts(path, matrices_of(tables["pairs"])))):
        table = tables[name].astype({column: object})
        table.loc[0, column] = value
        path = Path(tmp_path) / f"{name}.csv"
        table.to_csv(path, index=False)
        with pytest.raises(InputError, match=said):
            read(path)
