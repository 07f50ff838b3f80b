"""Change of behaviours whose items are the same with and without adapter: McNemar's test and paired intervals."""

import numpy as np
import pandas as pd
import pytest

from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.leakage.signed_change import describe_change, exact_mcnemar, paired_interval


def test_mcnemar_by_hand():
    """9 items gained, 1 lost: 2 (C(10,0) + C(10,1)) / 2^10 = 22 / 1024; items that stay do not count."""
    after, before = np.array([1] * 9 + [0] + [1] * 20 + [0] * 5), np.array([0] * 9 + [1] + [1] * 20 + [0] * 5)
    assert exact_mcnemar(after, before) == {"n": 35, "gained": 9, "lost": 1, "p": pytest.approx(22 / 1024)}
    assert exact_mcnemar(before, after)["p"] == pytest.approx(22 / 1024)
    assert exact_mcnemar([True, False], [True, False]) == {"n": 2, "gained": 0, "lost": 0, "p": 1.0}


@pytest.mark.parametrize(
    ("both", "gained", "lost", "neither", "interval"),
    [
        (36, 12, 2, 0, [0.0569, 0.3404]),  # Newcombe (1998), Statistics in Medicine 17, 2635, his first example
        (14, 5, 0, 22, [0.011, 0.226]),  # Altman et al. (2000), Statistics with Confidence, p. 52
        (1, 1, 7, 12, [-0.507, -0.026]),  # Fagerland, Lydersen & Laake (2014), airway hyper-responsiveness
    ],
)
def test_published_paired_intervals(both, gained, lost, neither, interval):
    counts = (both, gained, lost, neither)
    after, before = np.repeat([1, 1, 0, 0], counts), np.repeat([1, 0, 1, 0], counts)
    digits = 4 if both == 36 else 3
    assert np.round(paired_interval(after, before), digits).tolist() == interval
    assert paired_interval(before, after) == pytest.approx([-end for end in reversed(paired_interval(after, before))])


def test_paired_intervals_at_the_ends():
    """Nothing changes, or everything; they stay within -1 and 1."""
    for after, before, change in ((0, 0, 0), (1, 1, 0), (1, 0, 1), (0, 1, -1)):
        low, high = paired_interval(np.full(20, after), np.full(20, before))
        assert -1 - 1e-12 <= low <= change <= high <= 1 + 1e-12


def test_change_of_the_same_items():
    """9 items gained and 1 lost, 8 gained, none changed; the order of the rows is not that of the counts."""
    names = ["pirate", "nurse", "hero"]
    base = {name: [0] * 9 + [1] * 26 for name in names}
    after = {"pirate": [1] * 9 + [0] + [1] * 25, "nurse": [1] * 8 + [0] + [1] * 26, "hero": base["hero"]}
    facts = {"layer": 1, "source": "villain", "category": "c", "related": False, "total": 35, "base_rate": 26 / 35, "source_rate": 0.9}
    table = pd.DataFrame({**facts, "persona": names, "cosine": [0.1, 0.2, 0.3], "found": [sum(after[name]) for name in names]})
    table["rate"] = table["found"] / 35
    matrices = matrices_of(table)
    zeros = {"villain": [0] * 35}
    counts = {"found": np.array([[{**after, **zeros}[name] for name in matrices.personas]], dtype=float)}
    counts["base_found"] = np.array([{**base, **zeros}[name] for name in matrices.personas])
    block = describe_change(table, matrices, counts)["villain"]
    assert block["test"] == "exact McNemar test" and (block["risen"], block["fallen"]) == (2, 0)
    pirate, nurse, hero = (block["personas"][name] for name in names)
    assert (pirate["gained"], pirate["lost"], pirate["p"]) == (9, 1, pytest.approx(22 / 1024))
    assert pirate["interval"] == paired_interval(after["pirate"], base["pirate"])
    assert (nurse["gained"], nurse["lost"], nurse["p"]) == (8, 0, pytest.approx(2 / 256))
    assert nurse["p_holm"] == pytest.approx(6 / 256) and pirate["p_holm"] == pytest.approx(44 / 1024)
    assert hero["p"] == 1 and hero["leakage"] == 0 and hero["interval"][0] < 0 < hero["interval"][1]
