"""Every statistic that another well-kept package also computes, against that package."""

import itertools

import numpy as np
import pandas as pd
import pingouin
import pytest
import statsmodels.formula.api as smf
import statsmodels.stats.anova
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from persona_leakage.infrastructure.intervals import next_interval, wilson_interval
from persona_leakage.statistics.comparisons.variance_components import intraclass, two_way_parts
from persona_leakage.statistics.core.multiple_testing import holm
from persona_leakage.statistics.core.permutation import centred_products, draw_permutations, null_moments, permutation_test, rank_products
from persona_leakage.statistics.core.ranks import double_centre, standard_ranks, weighted_correlation, weighted_ranks
from persona_leakage.statistics.leakage.baseline_predictors import describe_partial, residuals_of
from persona_leakage.statistics.leakage.correlations import correlate
from persona_leakage.statistics.leakage.double_centred import describe_layer, leave_one_out
from persona_leakage.statistics.leakage.held_out_prediction import area_under_curve, leave_one_persona_out, leave_one_source_out
from persona_leakage.statistics.leakage.meta_analysis import combine_correlations

EXACT = {"abs": 1e-9, "rel": 1e-9}


@pytest.fixture
def generator():
    return np.random.default_rng(11)


@pytest.mark.parametrize("ties", [False, True])
def test_correlations(generator, ties):
    x, y = generator.normal(size=(2, 40))
    y = np.round(y + x, 0 if ties else 9)
    found = correlate(x, y)
    for name, method in (("spearman_rho", "spearman"), ("kendall_tau", "kendall"), ("pearson_r", "pearson")):
        oracle = pingouin.corr(x, y, method=method)
        assert found[name] == pytest.approx(float(oracle["r"].iloc[0]), **EXACT)
        assert found[name.rsplit("_", 1)[0] + "_p"] == pytest.approx(float(oracle.filter(regex="^p[-_]val").iloc[0, 0]), **EXACT)


@pytest.mark.parametrize(("found", "total"), [(0, 200), (1, 30), (17, 60), (200, 200)])
def test_wilson_interval(found, total):
    assert wilson_interval(found, total) == pytest.approx(proportion_confint(found, total, method="wilson"), **EXACT)


@pytest.mark.parametrize("tests", [1, 2, 50])
def test_holm(tests):
    """A claim without a p does not count."""
    p_values = np.random.default_rng(tests).random(tests).round(2) ** 3
    expected = multipletests(p_values, method="holm")[1].tolist()
    assert [*holm({**dict(enumerate(p_values)), "none": None}).values()] == [*expected, None]
    assert holm({"none": None}) == {"none": None}


@pytest.mark.filterwarnings("ignore:.*use_t:UserWarning", "ignore:invalid value encountered in sqrt:RuntimeWarning")
@pytest.mark.parametrize("rhos", [[0.7, 0.2, 0.5, -0.1, 0.6], [0.5, 0.51, 0.49], [0.71, 0.68]], ids=["spread", "alike", "two"])
def test_meta_analysis(rhos):
    """Against statsmodels, on Fisher's z. Without variance between the sources it is the model with a fixed effect."""
    sizes = np.array([110, 40, 25, 60, 33][: len(rhos)])
    oracle = combine_effects(np.arctanh(rhos), (1 + np.square(rhos) / 2) / (sizes - 3), method_re="dl", use_t=True)
    row = oracle.summary_frame().loc["random effect wls" if oracle.tau2 > 0 else "fixed effect wls"]
    assert combine_correlations(rhos, sizes)["rho"] == pytest.approx(np.tanh(row["eff"]), **EXACT)


def test_next_source_interval_is_that_of_a_next_normal_value(generator):
    """Student's prediction interval: pingouin's t test of one value against the others has p = 0.05 at its ends."""
    rhos = np.tanh(generator.normal(size=5) / 3)
    for end in next_interval(rhos):
        test = pingouin.ttest([np.arctanh(end)], np.arctanh(rhos), correction=False)
        assert float(test.filter(regex="^p[-_]val").iloc[0, 0]) == pytest.approx(0.05, abs=1e-6)


def test_leaving_out_a_bystander_of_the_double_centred_correlation(generator):
    """The shortcut against centring what is left; the correlation itself against a regression with dummies (statsmodels)."""
    x, y = generator.normal(size=(2, 3, 9))
    for index, found in enumerate(leave_one_out(x, y)):
        kept = np.delete(np.arange(9), index)
        expected = stats.pearsonr(double_centre(x[:, kept]).ravel(), double_centre(y[:, kept]).ravel()).statistic
        assert found == pytest.approx(expected, **EXACT)
    frame = pd.DataFrame({"x": x.ravel(), "y": y.ravel(), "s": np.repeat(range(3), 9), "p": np.tile(range(9), 3)})
    residuals = [smf.ols(f"{name} ~ C(s) + C(p)", frame).fit().resid for name in "xy"]
    assert describe_layer(x, y)["r"] == pytest.approx(np.corrcoef(residuals)[0, 1], **EXACT)


@pytest.mark.parametrize(("method", "scores"), [("spearman", stats.rankdata), ("pearson", lambda values, axis: values)])
@pytest.mark.parametrize("number", [1, 3])
def test_partial_correlation(generator, number, method, scores):
    controls = generator.normal(size=(number, 1, 2, 30))
    x = np.round(controls.sum(axis=0) + generator.normal(size=(1, 2, 30)), 1)
    y = np.round(controls[0, 0] + x[0] + generator.normal(size=(2, 30)), 1)
    names = [f"c{index}" for index in range(number)]
    permutations = draw_permutations(generator, 30, 19)
    (block,) = describe_partial(x, y, dict(zip(names, controls, strict=True)), ["first", "second"], permutations, scores)
    for index, source in enumerate(("first", "second")):
        frame = pd.DataFrame({"x": x[0, index], "y": y[index], **{name: controls[row, 0, index] for row, name in enumerate(names)}})
        oracle = pingouin.partial_corr(frame, "x", "y", names, method=method)
        assert block["per_source"][source]["rho"] == pytest.approx(float(oracle["r"].iloc[0]), abs=1e-6)
        assert block["per_source"][source]["p"] == pytest.approx(float(oracle.filter(regex="^p[-_]val").iloc[0, 0]), abs=1e-6)
    assert block["mean_rho"] == pytest.approx(np.mean([part["rho"] for part in block["per_source"].values()]))


def test_dependent_controls_count_once(generator):
    """A control given twice, or one that is constant, changes nothing, as a regression with a pseudo-inverse says."""
    values, control = generator.normal(size=(2, 25))
    once = residuals_of(values, control[None], stats.rankdata)
    for more in (3 * control, np.ones(25)):
        assert once == pytest.approx(residuals_of(values, np.stack([control, more]), stats.rankdata), **EXACT)
    ranks, design = stats.rankdata(values), np.column_stack([np.ones(25), stats.rankdata(control)])
    residuals = ranks - design @ np.linalg.pinv(design) @ ranks
    assert once == pytest.approx(residuals / np.linalg.norm(residuals), **EXACT)


def test_area_under_curve(generator):
    scores, positive = np.round(generator.normal(size=50), 1), generator.random(50) < 0.3
    assert area_under_curve(scores, positive) == pytest.approx(roc_auc_score(positive, scores), **EXACT)
    assert area_under_curve(scores, np.ones(50, dtype=bool)) is None


def test_leave_one_out_predictions_against_refitting(generator):
    """PRESS by leverage, and the shared line of the other sources, against numpy's regression on the rows that stay."""
    x = generator.normal(size=(3, 20))
    y = x + generator.normal(size=(3, 20))
    errors = references = 0
    for index in range(20):
        kept = np.delete(np.arange(20), index)
        slope, intercept = np.polyfit(x[0, kept], y[0, kept], 1)
        errors += (y[0, index] - intercept - slope * x[0, index]) ** 2
        references += (y[0, index] - y[0, kept].mean()) ** 2
    assert leave_one_persona_out(x, y, ["a", "b", "c"])["a"] == pytest.approx(1 - errors / references, **EXACT)
    design = np.zeros((40, 3))
    design[:20, 0], design[20:, 1], design[:, 2] = 1, 1, x[1:].ravel()
    first, second, slope = np.linalg.lstsq(design, y[1:].ravel(), rcond=None)[0]
    blocks = leave_one_source_out(x, y, 1 / (1 + np.exp(-y)), ["a", "b", "c"])
    block, own = blocks["per_source"]["a"], ((y[0] - y[0].mean()) ** 2).sum()
    assert block["slope"] == pytest.approx(slope, **EXACT)
    nothing_known = ((y[0] - (first + second) / 2 - slope * x[0]) ** 2).sum()
    assert block["r2_nothing_known"] == pytest.approx(1 - nothing_known / own, **EXACT)
    mean_known = ((y[0] - y[0].mean() - slope * (x[0] - x[0].mean())) ** 2).sum()
    assert block["r2_source_mean_known"] == pytest.approx(1 - mean_known / own, **EXACT)


def test_weighted_ranks_are_those_of_the_drawn_sample(generator):
    x, y = np.round(generator.normal(size=(2, 15)), 0)
    weights = generator.multinomial(15, np.full(15, 1 / 15), size=4).astype(float)
    found = weighted_correlation(weighted_ranks(x, weights), weighted_ranks(y, weights), weights)
    for row, weight in zip(found, weights.astype(int), strict=True):
        assert row == pytest.approx(stats.spearmanr(np.repeat(x, weight), np.repeat(y, weight)).statistic, **EXACT)


def test_products_give_the_statistics(generator):
    """The diagonal of the products sums to the mean rank correlation and to the double-centred correlation."""
    x, y = generator.normal(size=(2, 3, 12)), generator.normal(size=(3, 12))
    expected = [np.mean([stats.spearmanr(layer[row], y[row]).statistic for row in range(3)]) for layer in x]
    assert np.trace(rank_products(x, y), axis1=1, axis2=2) == pytest.approx(expected, **EXACT)
    centred = [stats.pearsonr(double_centre(layer).ravel(), double_centre(y).ravel()).statistic for layer in x]
    assert np.trace(centred_products(x, y), axis1=1, axis2=2) == pytest.approx(centred, **EXACT)


@pytest.mark.parametrize("groups", [None, np.array([0, 0, 1, 1, 1])], ids=["free", "within groups"])
def test_null_moments_and_p_against_every_permutation(generator, groups):
    """Mean and deviation are exact; with all 120 (or 12) permutations written out the test is that of the definition."""
    products = generator.normal(size=(2, 5, 5))
    allowed = [list(order) for order in itertools.permutations(range(5)) if groups is None or (groups[list(order)] == groups).all()]
    drawn = np.array([[layer[range(5), order].sum() for order in allowed] for layer in products])
    for layer, values in zip(products, drawn, strict=True):
        assert null_moments(layer, groups) == pytest.approx((values.mean(), values.std()), **EXACT)
    test = permutation_test(products, np.array(allowed), groups)
    z = np.abs(drawn - drawn.mean(axis=1, keepdims=True)) / drawn.std(axis=1, keepdims=True)
    own = allowed.index([0, 1, 2, 3, 4])
    for index, layer in enumerate(test):
        assert layer["p"] == pytest.approx((1 + (z[index] >= z[index, own] - 1e-9).sum()) / (1 + len(allowed)))
        assert layer["p_max_t"] == pytest.approx((1 + (z.max(axis=0) >= z[index, own] - 1e-9).sum()) / (1 + len(allowed)))


def test_permutations_stay_within_their_groups(generator):
    groups = np.array(["a", "b", "a", "c", "b", "a"])
    drawn = draw_permutations(generator, 6, 200, groups)
    assert (groups[drawn] == groups).all()
    assert (np.sort(drawn, axis=1) == np.arange(6)).all()
    assert len(np.unique(drawn, axis=0)) == 12, "3! * 2! * 1! orders"


@pytest.mark.parametrize("repetitions", [2, 4])
@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_intraclass_correlations(generator, repetitions, shift):
    """Agreement of single measurements with its interval, against pingouin."""
    values = generator.normal(size=(25, 1)) + 0.5 * generator.normal(size=(25, repetitions)) + shift * np.arange(repetitions)
    frame = pd.DataFrame(values).reset_index().melt(id_vars="index", var_name="run")
    oracle = pingouin.intraclass_corr(frame, targets="index", raters="run", ratings="value").set_index("Type")
    interval = next(column for column in oracle if column.startswith("CI95"))
    found, row = intraclass(values), oracle.iloc[1]
    assert found["agreement"] == pytest.approx(row["ICC"], **EXACT)
    assert found["agreement_interval"] == pytest.approx(list(row[interval]), abs=0.0051), "pingouin rounds to two decimals"


def test_two_way_parts(generator):
    """Against the mean squares of statsmodels' analysis of variance without interaction."""
    values = generator.normal(size=(12, 1)) + generator.normal(size=(1, 3)) + 0.3 * generator.normal(size=(12, 3))
    frame = pd.DataFrame(values).reset_index().melt(id_vars="index", var_name="run")
    table = smf.ols("value ~ C(index) + C(run)", frame).fit()
    squares = statsmodels.stats.anova.anova_lm(table)["mean_sq"]
    parts = two_way_parts(values)
    assert parts["rest"] == pytest.approx(squares["Residual"], **EXACT)
    assert parts["things"] == pytest.approx((squares["C(index)"] - squares["Residual"]) / 3, **EXACT)
    assert parts["level"] == pytest.approx((squares["C(run)"] - squares["Residual"]) / 12, **EXACT)


def test_standard_ranks_of_ties(generator):
    x, y = np.round(generator.normal(size=(2, 30)), 0)
    assert standard_ranks(x) @ standard_ranks(y) == pytest.approx(stats.spearmanr(x, y).statistic, **EXACT)
