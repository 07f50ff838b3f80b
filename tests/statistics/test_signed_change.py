"""Change from a base rate above 0: intervals and exact tests."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from persona_leakage.statistics.leakage.signed_change import (
    describe_change,
    exact_mcnemar,
    fisher_p,
    newcombe_interval,
    paired_interval,
    share_of_headroom,
)
from persona_leakage.tables.build import clustered_error, errors_of


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
