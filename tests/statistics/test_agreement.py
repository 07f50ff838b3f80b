"""The test whether two evaluations agree: its p-values under agreement and under a difference."""

import numpy as np
import pytest
from scipy import stats

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.statistics.comparisons.evaluation_agreement import agreement, paired_counts


def draw(generator, rates, questions=5, total=6):
    return generator.binomial(total, np.repeat(rates[:, None], questions, 1)), np.full((len(rates), questions), total)


def test_p_values_are_uniform_when_both_agree():
    """200 pairs of evaluations with the same rates, many of them 0 or 1: Kolmogorov-Smirnov against uniform."""
    generator = np.random.default_rng(1)
    rates = np.concatenate([np.zeros(5), np.ones(2), generator.random(13)])
    values = [agreement(*draw(generator, rates), *draw(generator, rates), seed=seed, draws=199)["p"] for seed in range(200)]
    assert stats.kstest(values, "uniform").pvalue > 0.01


def test_a_difference_is_found():
    generator = np.random.default_rng(2)
    rates = np.linspace(0.3, 0.6, 20)
    shifted = agreement(*draw(generator, rates + 0.2), *draw(generator, rates))
    assert shifted["p"] < 0.001 and shifted["mean_difference"] == pytest.approx(0.2, abs=4 * shifted["mean_difference_se"])
    mixed = agreement(*draw(generator, rates + 0.25 * (-1) ** np.arange(20)), *draw(generator, rates))
    assert mixed["p"] < 0.001 and abs(mixed["mean_difference"]) < 0.1


def test_one_question_is_fishers_setting():
    """With one cell of one question the p-value is that of the hypergeometric distribution, two-sided by distance from its mean."""
    found = agreement(*(np.array([[value]]) for value in (9, 12, 3, 12)))
    assert (found["largest_difference"], found["cells"]) == (pytest.approx(0.5), 1)
    null = stats.hypergeom(24, 12, 12)
    support = np.arange(13)
    exact = null.pmf(support)[abs(support - null.mean()) >= 3 - 1e-9].sum()
    assert found["p"] == pytest.approx(exact, abs=4 * np.sqrt(exact / 9999))
    assert found["mean_difference"] == pytest.approx(0.5)


def cells(**questions):
    return {"per_question": {name: {"found": found, "total": 4} for name, found in questions.items()}}


def test_counts_are_paired_by_name():
    first, second = {"a": cells(q=1, r=2), "b": cells(q=0, r=4)}, {"b": cells(r=3, q=0), "a": cells(r=1, q=0)}
    found1, _, found2, _ = paired_counts(first, second)
    assert found1.tolist() == [[1, 2], [0, 4]] and found2.tolist() == [[0, 1], [0, 3]]


@pytest.mark.parametrize("second", [{"a": cells(q=1)}, {"a": cells(q=1, r=1), "c": cells(q=1)}])
def test_other_personas_or_questions_are_refused(second):
    with pytest.raises(InputError, match=r"different (personas|questions)"):
        paired_counts({"a": cells(q=1, r=1), "b": cells(q=1)} if "c" in second else {"a": cells(q=1, r=1)}, second)
