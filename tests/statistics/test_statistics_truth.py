"""Synthetic experiments with known truth: no false alarms beyond 5 %, intervals that hold the truth, effects that are found."""

import numpy as np
import pytest
from scipy import stats

from persona_leakage.statistics.core.pair_matrices import PairMatrices
from persona_leakage.statistics.leakage.reliability import noise_ceilings
from persona_leakage.statistics.validation.calibration import collect_p_values, coverage
from persona_leakage.statistics.validation.simulation import SCENARIOS

SEED = 1
# How many synthetic experiments: a few each time, with bounds as wide as so few demand, and many in make test-all.
TABLES = [15, pytest.param(400, marks=pytest.mark.slow)]
PER_SOURCE = ("one source, Spearman", "one source, Kendall", "one source, Pearson")
JOINT = ("association", "pair_specific", "source_identity")
WITHIN = ("association_within_categories", "pair_specific_within_categories")
PARTIAL = ("beyond_baselines", "beyond_baselines, one source")
# Which tests must not reject more often than they say, in which world.
VALID = {
    "no effect": [*PER_SOURCE, *JOINT, *WITHIN, *PARTIAL, "baseline predictor alone"],
    "shared by all sources": ["pair_specific", "pair_specific_within_categories", "source_identity", "baseline predictor alone"],
    "one source at the floor": ["pair_specific", "pair_specific_within_categories", "baseline predictor alone"],
    "shared by a category": [*WITHIN, "baseline predictor alone"],
    "shared wording": [*PARTIAL, "baseline predictor alone"],
}
BEST_LAYER = {*JOINT, *WITHIN}


@pytest.fixture(scope="module", params=TABLES)
def rejections(request):
    """{scenario: {test: p [tables]}}, each scenario simulated once."""
    return {name: collect_p_values(SCENARIOS[name], request.param, SEED) for name in VALID}


def share(p_values):
    return float((p_values < 0.05).mean())


def most(tables, true=0.05):
    """The largest share that chance gives in 98 of 100 cases where the true one is ``true``: 0.2 of 15 tables, 0.0725 of 400."""
    return float(stats.binom.ppf(0.98, tables, true)) / tables


def least(tables, true):
    """The smallest in 99 of 100: 0.8 of 15 tables where the true one is 0.95."""
    return float(stats.binom.ppf(0.01, tables, true)) / tables


@pytest.mark.parametrize(
    ("scenario", "test"),
    [
        (scenario, name)
        for scenario, tests in VALID.items()
        for test in tests
        for name in ([test, f"{test}, best layer"] if test in BEST_LAYER else [test])
    ],
)
def test_without_an_effect_p_values_are_uniform(rejections, scenario, test):
    """Kolmogorov-Smirnov over all experiments, and the 5 % that matter: not above by more than 2.3 standard errors."""
    p_values = rejections[scenario][test]
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert share(p_values) <= most(len(p_values))


def test_what_fools_raw_pooling_does_not_fool_the_joint_tests(rejections):
    """Side by side: bystanders and sources with effects of their own, no pair effect."""
    independent, shared = rejections["no effect"], rejections["shared by all sources"]
    alarms = most(len(independent["association"]))
    assert share(independent["raw pooled Spearman"]) > 0.25, "independent effects on both sides: pooling counts each bystander five times"
    assert share(independent["association"]) <= alarms
    assert share(shared["raw pooled Spearman"]) > 0.75, "a bystander that is close to all and leaks under all"
    assert share(shared["pair_specific"]) <= alarms
    assert share(shared["source_identity"]) <= alarms
    assert share(rejections["shared by a category"]["association"]) > 0.75, "categories alone give an association"
    assert share(rejections["shared by a category"]["association_within_categories"]) <= alarms


@pytest.mark.parametrize("tables", [10, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("scenario", "power"), [("weak pair effect", 0.6), ("pair effect", 0.99)])
def test_power(scenario, power, tables):
    """A pair effect of 0.3 (0.8) log-odds per standard deviation of closeness, 5 sources, 45 bystanders, 100 replies a pair."""
    p_values = collect_p_values(SCENARIOS[scenario], tables, SEED)
    for test in ("association, best layer", "pair_specific, best layer", "source_identity, best layer", "beyond_baselines"):
        assert share(p_values[test]) >= (power if tables == 100 else least(tables, power)), test


SAME_SOURCES = ("the next source", "one source", "mean of these sources", "double-centred", "difference of two layers", "partial_linear")
COVERED = {
    "no effect": [*SAME_SOURCES, "mean of sources like these"],
    "pair effect": [*SAME_SOURCES, "mean of sources like these"],
    "pair effect, sources differ": ["mean of sources like these", "the next source"],
}


@pytest.mark.parametrize("tables", TABLES)
@pytest.mark.parametrize("scenario", COVERED)
def test_intervals_hold_the_truth(scenario, tables):
    """95 % +- 3 over 400 experiments; the standard error of the share is 1.1. Of 15 it is 5.6: at least 80 %."""
    found = coverage(SCENARIOS[scenario], tables, SEED)
    low, high = (0.92, 0.98) if tables == 400 else (least(tables, 0.95), 1)
    assert {name: found[name] for name in COVERED[scenario] if not low <= found[name] <= high} == {}


@pytest.mark.parametrize("question_sd", [0.0, 1.5], ids=["all questions alike", "questions differ"])
def test_noise_ceilings_are_the_correlation_with_true_leakage(question_sd):
    """A predictor that knows the true rates reaches the ceiling: 100 personas, 20 questions, 3 replies each."""
    generator = np.random.default_rng(5)
    reached, promised = [], []
    for number in range(40):
        logits = -1 + 1.5 * generator.normal(size=100)
        chances = 1 / (1 + np.exp(-logits[:, None] - question_sd * generator.normal(size=(100, 20))))
        found, total = generator.binomial(3, chances)[None].astype(float), np.full((1, 100, 20), 3.0)
        personas = [f"p{index}" for index in range(100)]
        rate = found.sum(axis=2) / 60
        matrices = PairMatrices([0], ["s"], personas, None, {}, rate, found.sum(axis=2), total.sum(axis=2), None, None, None)
        ceilings = noise_ceilings(matrices, number, {"found": found, "total": total})["s"]
        reached.append(stats.spearmanr(logits, rate[0]).statistic)
        promised.append([ceilings["questions"]["ceiling"], ceilings["samples"]["ceiling"]])
    questions, samples = np.mean(promised, axis=0)
    assert questions == pytest.approx(np.mean(reached), abs=0.015)
    if question_sd:
        assert samples > questions + 0.02, "the choice of questions is noise that halves of the same questions do not show"
    else:
        assert samples == pytest.approx(questions, abs=0.015)
