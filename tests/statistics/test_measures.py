"""Finer measures of leakage: by hand, against scipy, and that reliability and intervals are paired."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from persona_leakage.statistics.comparisons.leakage_measures import MEASURES, compare_measures, measured, split_half

SOURCES = ("s0", "s1")
NAMES = [*SOURCES, *(f"p{index}" for index in range(25))]
QUESTIONS = [f"q{index}" for index in range(8)]
OPTIONS = {"bootstraps": 300}


def world(seed=0, level=0.0, draws=2):
    """(pairs of one layer, evaluations, forced): leakage of both kinds rests on one hidden tendency, sampled with few draws."""
    generator = np.random.default_rng(seed)
    rows, evaluations, forced = [], {}, {}
    for source in SOURCES:
        evaluations[source], forced[source] = {}, {}
        for name in NAMES:
            tendency = generator.normal()
            chances = 1 / (1 + np.exp(-(level + 2 * tendency + 0.5 * generator.normal(size=len(QUESTIONS)))))
            found = generator.binomial(draws, chances)
            counts = {q: {"found": int(k), "found_tokens": int(k), "total": draws} for q, k in zip(QUESTIONS, found, strict=True)}
            evaluations[source][name] = {"per_question": counts}
            cells = {
                q: {"n": 2, "ended": 2, "end_gain": float(np.log(p) + 0.1 * generator.normal()), "anywhere": float(p)}
                for q, p in zip(QUESTIONS, chances, strict=True)
            }
            forced[source][name] = {"per_question": cells}
            if name != source:
                cosine = np.tanh((tendency + generator.normal()) / 4)
                facts = {"layer": 1, "source": source, "persona": name, "category": "k", "related": False, "cosine": cosine}
                rows.append(
                    {**facts, "rate": found.sum() / (draws * len(QUESTIONS)), "found": found.sum(), "total": draws * len(QUESTIONS)}
                )
    return pd.DataFrame(rows), evaluations, forced


def test_values_by_hand():
    """Means over replies, not over questions; a question without a reply that ended counts for nothing; none at all is no value."""
    evaluations = {
        "s": {"a": {"per_question": {"q": {"found": 1, "found_tokens": 0, "total": 2}, "r": {"found": 2, "found_tokens": 2, "total": 2}}}}
    }
    block = {"q": {"n": 3, "ended": 1, "end_gain": 6.0, "anywhere": 0.5}, "r": {"n": 1, "ended": 0, "end_gain": None, "anywhere": 0.1}}
    found = measured(evaluations, {"s": {"a": {"per_question": block}}}, ["q", "r"])
    assert [found[measure]["s"]["a"][0] for measure in MEASURES] == pytest.approx([0.75, 0.5, 6.0, (3 * 0.5 + 0.1) / 4])
    block["q"].update(ended=0, end_gain=None)
    assert measured(evaluations, {"s": {"a": {"per_question": block}}}, ["q", "r"])["end"]["s"]["a"][0] is None


def test_correlations_are_scipys():
    pairs, evaluations, forced = world()
    result = compare_measures(pairs, evaluations, forced, OPTIONS)
    rows = pairs[pairs["source"] == "s1"]
    ends = [np.mean([cell["end_gain"] for cell in forced["s1"][name]["per_question"].values()]) for name in rows["persona"]]
    block = result["per_source"]["s1"]["end"]
    assert block["cosine"]["rho"] == pytest.approx(stats.spearmanr(rows["cosine"], ends).statistic)
    assert block["agreement"]["rho"] == pytest.approx(stats.spearmanr(rows["rate"], ends).statistic)
    assert block["agreement"]["rho"] > 0.6 and block["mean_bystanders"] == pytest.approx(np.mean(ends)) and block["n"] == 26
    assert block["cosine"]["interval"][0] < block["cosine"]["rho"] < block["cosine"]["interval"][1]
    own = forced["s1"]["s1"]["per_question"].values()
    assert block["source"] == pytest.approx(np.mean([cell["end_gain"] for cell in own]))
    assert result["per_source"]["s1"]["sampled"]["agreement"]["rho"] == pytest.approx(1)
    mean = np.mean([result["per_source"][source]["end"]["cosine"]["rho"] for source in SOURCES])
    assert result["joint"]["measures"]["end"]["mean_rho"] == pytest.approx(mean)
    difference = result["joint"]["measures"]["end"]["from_sampled"]
    assert difference["difference"] == pytest.approx(mean - result["joint"]["measures"]["sampled"]["mean_rho"])
    # the tokens were counted as the sampled rate was: nothing differs, in no resample
    assert result["joint"]["measures"]["tokens"]["from_sampled"] == {
        "difference": 0.0,
        "interval": pytest.approx([0, 0]),
        "undefined": None,
    }


def test_the_finer_measure_is_more_reliable_and_has_no_floor():
    """Nearly nobody leaks in three draws of eight questions; the log-probabilities still differ and agree with themselves."""
    result = compare_measures(*world(level=-4.5, draws=1), OPTIONS)
    for source in SOURCES:
        sampled, end = (result["per_source"][source][measure] for measure in ("sampled", "end"))
        assert sampled["different"] < 10 < end["different"] == 25
        assert end["reliability"]["reliability"] > 0.9
        assert (sampled["reliability"]["reliability"] or 0) < end["reliability"]["reliability"]


def test_an_even_source_has_no_correlation_with_the_sampled_rate():
    """The finer measures, which have no base rate, keep theirs."""
    pairs, evaluations, forced = world()
    generator = np.random.default_rng(0)
    for name in NAMES:
        for cell in evaluations["s1"][name]["per_question"].values():
            cell["found"] = cell["found_tokens"] = int(generator.binomial(2, 0.5))
    sums = [sum(cell["found"] for cell in evaluations[row.source][row.persona]["per_question"].values()) for row in pairs.itertuples()]
    pairs = pairs.assign(found=sums, rate=np.array(sums) / pairs["total"], base_rate=0.2)
    result = compare_measures(pairs, evaluations, forced, OPTIONS)
    blocks = result["per_source"]["s1"]
    for measure in ("sampled", "tokens"):
        assert blocks[measure]["cosine"]["rho"] is None and "spreads evenly" in blocks[measure]["cosine"]["undefined"]
        assert "spreads evenly" in result["joint"]["left_out"][measure]["s1"]
    assert blocks["end"]["cosine"]["interval"] and result["per_source"]["s0"]["sampled"]["cosine"]["interval"]
    assert result["joint"]["sources"] == ["s0"]


def test_undefined_says_why():
    pairs, evaluations, forced = world()
    for cell in forced["s0"]["p3"]["per_question"].values():
        cell.update(ended=0, end_gain=None)
    for name in NAMES:
        for cell in evaluations["s1"][name]["per_question"].values():
            cell.update(found=0, found_tokens=0)
    result = compare_measures(pairs, evaluations, forced, OPTIONS)
    assert "missing in 1 of 26" in result["per_source"]["s0"]["end"]["cosine"]["undefined"]
    assert result["per_source"]["s0"]["end"]["reliability"]["undefined"] == "a bystander has no value"
    assert "leakage is the same" in result["per_source"]["s1"]["sampled"]["cosine"]["undefined"]
    assert result["per_source"]["s1"]["end"]["cosine"]["interval"], "the floor of the sampled rate is not that of the finer measure"
    assert result["joint"]["undefined"] and result["joint"]["measures"]["end"]["mean_rho"] is None
    assert "leakage is the same" in result["joint"]["left_out"]["sampled"]["s1"]
    one = [(0.5, np.array([1.0]), np.array([2.0]))] * 3
    assert split_half(one)["undefined"] == "one question"
