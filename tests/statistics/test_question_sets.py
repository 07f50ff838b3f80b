"""Question sets compared: correlations as from the pairs, drops paired over the bystanders, intervals that hold the truth."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from persona_leakage.statistics.comparisons.question_sets import compare_question_sets
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.tables.question_counts import spread
from tests.support.synthetic import check_strict

SOURCES, BYSTANDERS, QUESTIONS, REPLIES = 3, 40, 8, 6


def make_sets(generator, slopes, shared=1.0):
    """{set: (pairs of layer 5, question counts)}: leakage from one closeness with a slope of each set, and a part of its own.

    shared: deviation of the part of a pair's leakage that all sets have in common.
    """
    personas = [f"persona{index}" for index in range(BYSTANDERS)]
    closeness = generator.normal(size=(SOURCES, BYSTANDERS))
    common = shared * generator.normal(size=(SOURCES, BYSTANDERS))
    found = {}
    for name, slope in slopes.items():
        logits = -0.5 + slope * closeness + common + 0.3 * generator.normal(size=(SOURCES, BYSTANDERS))
        counts = generator.binomial(REPLIES, 1 / (1 + np.exp(-logits[..., None] - 0.3 * generator.normal(size=QUESTIONS))))
        pairs, questions = [], []
        for row in range(SOURCES):
            for column, persona in enumerate(personas):
                total, shown = REPLIES * QUESTIONS, int(counts[row, column].sum())
                facts = {"source": f"source{row}", "persona": persona}
                leaks = {"cosine": 0.1 * closeness[row, column], "rate": shown / total, "found": shown, "total": total}
                pairs.append({"layer": 5, **facts, "category": "any", "related": False, **leaks})
                for index, count in enumerate(counts[row, column]):
                    questions.append({**facts, "question": f"{name} {index}?", "found": int(count), "total": REPLIES})
        found[name] = pd.DataFrame(pairs), pd.DataFrame(questions)
    return found


def compare(sets, bootstraps=200):
    counts = {}
    for name, (pairs, questions) in sets.items():
        matrices = matrices_of(pairs)
        axes = {"source": matrices.sources, "persona": matrices.personas, "question": sorted(set(questions["question"]))}
        counts[name] = {key: spread(questions, axes, key) for key in ("found", "total")}
    return compare_question_sets({name: pairs for name, (pairs, _) in sets.items()}, counts, bootstraps)


def test_correlations_and_drops_are_those_of_the_pairs():
    sets = make_sets(np.random.default_rng(0), {"first": 1.0, "other": 0.2})
    result = compare(sets)
    rhos = {
        name: [stats.spearmanr(rows["cosine"], rows["rate"]).statistic for _, rows in pairs.groupby("source")]
        for name, (pairs, _) in sets.items()
    }
    for name, known in rhos.items():
        assert [block["rho"] for block in result["sets"][name]["per_source"].values()] == pytest.approx(known)
        assert result["sets"][name]["mean"]["mean_rho"] == pytest.approx(np.mean(known))
        assert result["sets"][name]["questions"] == QUESTIONS
    drop = result["drops"]["other"]["own_cosines"]
    assert drop["mean"]["drop"] == pytest.approx(np.mean(rhos["first"]) - np.mean(rhos["other"])) and drop["mean"]["interval"][0] > 0
    assert [block["drop"] for block in drop["per_source"].values()] == pytest.approx(np.subtract(rhos["first"], rhos["other"]))
    check_strict({**result, "verdict": []})


def test_a_set_does_not_drop_against_itself():
    """The same draws of bystanders: without pairing the interval would have a width."""
    (pairs, _) = make_sets(np.random.default_rng(1), {"first": 0.8})["first"]
    result = compare_question_sets({"first": pairs, "again": pairs}, {"first": None, "again": None}, 200)
    mean = result["drops"]["again"]["own_cosines"]["mean"]
    assert mean["drop"] == 0 and mean["interval"] == [0, 0]


def test_the_first_sets_cosines_tell_geometry_from_leakage():
    """Cosines that say nothing on the other set, leakage the same: all of the drop is the geometry's."""
    generator = np.random.default_rng(3)
    (pairs, questions) = make_sets(generator, {"first": 1.0})["first"]
    shuffled = pairs.assign(cosine=generator.permutation(pairs["cosine"].to_numpy()))
    drops = compare({"first": (pairs, questions), "other": (shuffled, questions)})["drops"]["other"]
    assert drops["own_cosines"]["mean"]["drop"] > 0.3 and drops["first_cosines"]["mean"]["drop"] == pytest.approx(0)
    assert drops["agreement_with_first"]["leakage"] == pytest.approx(1) and abs(drops["agreement_with_first"]["cosine"]) < 0.4


@pytest.mark.slow
def test_the_interval_is_as_wide_as_drops_scatter():
    """80 experiments in which both sets have the same slope. Intervals may be wide (docs/optional_analyses.md), but not narrow."""
    drops, errors, held = [], [], 0
    for seed in range(80):
        mean = compare(make_sets(np.random.default_rng(100 + seed), {"first": 0.8, "other": 0.8}))["drops"]["other"]["own_cosines"]["mean"]
        low, high = mean["interval"]
        drops.append(mean["drop"])
        errors.append((high - low) / 2 / stats.t.ppf(0.975, BYSTANDERS - 1))
        held += low <= 0 <= high
    assert held >= 73 and 0.85 < np.mean(np.square(errors)) ** 0.5 / np.std(drops) < 1.45


def test_what_cannot_be_compared():
    sets = make_sets(np.random.default_rng(4), {"first": 1.0, "other": 1.0})
    flat = sets["other"][0].assign(rate=0.0, found=0)
    result = compare_question_sets({"first": sets["first"][0], "other": flat}, {"first": None, "other": None}, 200)
    assert "leakage is the same" in result["undefined"] and result["drops"] == {} and result["sets"]["first"]["mean"] is None
    one = sets["first"][0]
    without = one.assign(
        rate=np.where(one["source"] == "source1", 0, one["rate"]), found=np.where(one["source"] == "source1", 0, one["found"])
    )
    result = compare_question_sets({"first": one, "other": without}, {"first": None, "other": None}, 200)
    assert result["sources"] == ["source0", "source2"] and "source1" in result["sources_left_out"]["other"]
