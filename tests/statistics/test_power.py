"""Power and interval width before a study is run, against simulation and known cases."""

import numpy as np
import pandas as pd
import plan_power
import pytest
from scipy import stats

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json
from persona_leakage.statistics.core.ranks import standard_ranks
from persona_leakage.statistics.prediction.power import (
    TRUE,
    Components,
    Design,
    describe_design,
    draw_correlations,
    measured_rates,
    rank_link,
    read_guesses,
    shared_part,
    true_rates,
)
from persona_leakage.statistics.prediction.power_components import estimate_components, rate_shares
from persona_leakage.statistics.prediction.study import read_study
from persona_leakage.statistics.validation.power_simulation import DESIGNS, draw_study, simulated_power
from tests.support.studied import make_study

PLAIN = Components(rho=0.4, rho_sd=0.3, rate=0.2, persona=0.2, training=0.0, question=0.0, shared=0.0)


def test_a_new_sources_power_is_that_of_the_noncentral_t():
    """Without shared bystanders the statistic is a noncentral t."""
    design = Design(60, 8, 10, 5)
    z = draw_correlations(PLAIN, design)
    exact = stats.nct.sf(stats.t.ppf(0.975, 7) * 3, 7, z.mean() / (z.std() / 8**0.5))
    assert describe_design(PLAIN, design)["new_source_power"] == pytest.approx(exact, abs=0.01)


def test_more_of_everything_measures_more():
    base = Design(30, 5, 5, 2)
    few, many = (rank_link(PLAIN, design)[-1] for design in (base, Design(30, 5, 40, 20)))
    assert few < many <= 1 and many > 0.97
    powers = [describe_design(PLAIN, design)["mean_power"] for design in (base, Design(111, 5, 5, 2), Design(111, 10, 20, 10))]
    assert powers == sorted(powers) and powers[-1] > 0.9
    assert describe_design(PLAIN, Design(30, 4, 5, 2))["mean_power"] is None


def test_the_power_is_that_of_simulated_studies():
    """A quick look at one design; check_predictions.py has all ten, with at least 2,600 studies."""
    components, design = DESIGNS[1]
    planned, simulated = describe_design(components, design), simulated_power(components, design, 40, seed=5)
    assert abs(planned["mean_power"] - simulated["mean_power"]) < 4 * np.sqrt(0.25 / 40)


def test_mean_and_spread_of_simulated_correlations_are_those_expected():
    components, design = DESIGNS[1]
    drawn = [draw_study(components, design, np.random.default_rng([2, number])) for number in range(150)]
    z = np.arctanh([[stats.spearmanr(x, y).statistic for x, y in zip(*each, strict=True)] for each in drawn])
    expected = draw_correlations(components, design)
    assert z.mean() == pytest.approx(expected.mean(), abs=0.03)
    assert z.var(axis=1, ddof=1).mean() == pytest.approx(expected.var(axis=1, ddof=1).mean(), rel=0.15)


def test_the_link_is_the_correlation_of_tied_counts():
    """Against drawn personas, many and few; without noise it is that of two normal values."""
    rare = Components(rho=0.0, rho_sd=0.0, rate=0.05, persona=0.1, training=0.0, question=0.1, shared=0.0)
    many, few = Design(10**6, 2, 5, 2), Design(10, 2, 5, 2)
    generator = np.random.default_rng(0)
    score, other = generator.normal(size=(2, 200_000))
    measured = measured_rates(rare, many, true_rates(rare, score), generator)
    assert np.mean(measured == 0) > 0.6
    for rho in (-0.3, 0.6, 0.9):
        closeness = rho * score + (1 - rho**2) ** 0.5 * other
        assert np.interp(rho, TRUE, rank_link(rare, many)) == pytest.approx(stats.spearmanr(closeness, measured).statistic, abs=0.008)
        drawn = (standard_ranks(closeness.reshape(-1, 10)) * standard_ranks(measured.reshape(-1, 10))).sum(axis=1)
        assert np.interp(rho, TRUE, rank_link(rare, few)) == pytest.approx(np.nanmean(drawn), abs=0.01)
    exact = Components(rho=0.0, rho_sd=0.0, rate=0.3, persona=0.2, training=0.0, question=0.0, shared=0.0)
    assert rank_link(exact, Design(10**6, 2, 1, 10**6)) == pytest.approx(6 / np.pi * np.arcsin(TRUE / 2), abs=0.002)


def test_sources_share_as_much_variance_as_planned():
    """Covariance of two sources' Fisher's z over drawn studies, with closeness that predicts and without."""
    design = Design(60, 8, 10, 10)
    for rho in (0.0, 0.5):
        components = Components(rho=rho, rho_sd=0.0, rate=0.2, persona=0.2, training=0.0, question=0.0, shared=0.5)
        drawn = [draw_study(components, design, np.random.default_rng([4, number])) for number in range(400)]
        z = np.arctanh([(standard_ranks(x) * standard_ranks(y)).sum(axis=1) for x, y in drawn])
        covariance = (z.mean(axis=1).var(ddof=1) * 8 - z.var(axis=0, ddof=1).mean()) / 7
        assert covariance == pytest.approx(shared_part(components, design) / 57, rel=0.2)


def test_shares_are_found_again_in_drawn_counts():
    generator = np.random.default_rng(0)
    size = 1 / 0.2 - 1
    rates = generator.beta(0.2 * size, 0.8 * size, size=(1, 4, 400, 1))
    asked = generator.beta(np.maximum(rates * 9, 1e-9), np.maximum((1 - rates) * 9, 1e-9), size=(2, 4, 400, 10))  # 1 / 10 between questions
    found = generator.binomial(5, asked).astype(float)
    shares = rate_shares(found, np.full_like(found, 5))
    assert shares["rate"] == pytest.approx(0.2, abs=0.01) and shares["persona"] == pytest.approx(0.2, abs=0.02)
    assert shares["question"] == pytest.approx(0.1, abs=0.015) and shares["training"] < 0.01


def test_components_of_a_study_are_plausible(tmp_path):
    study = read_study(make_study(tmp_path)["study"])
    found = estimate_components(study)
    assert 0.7 < found.rho < 1 and found.training < 0.05 and found.question < 0.02 and 0.05 < found.rate < 0.3
    floor = read_study(make_study(tmp_path / "floor", slope=0, level=-20)["study"])
    with pytest.raises(InputError, match=r"is at the floor.*state guesses instead"):
        estimate_components(floor)


def test_the_program_writes_a_table(tmp_path, capsys):
    sizes = ["--personas", "30", "--sources", "3", "5", "--replies", "2", "--questions", "5"]
    plan_power.main([*sizes, "--output-folder", str(tmp_path)])
    table = pd.read_csv(tmp_path / "power.csv")
    assert list(table["sources"]) == [3, 5] and table["mean_power"].isna().tolist() == [True, False]
    assert len(read_json(tmp_path / "power.json")["designs"]) == 2 and "a new source" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("edit", "words"), [({"rate": 2}, "rate.*2.*< 1"), ({"rho": None}, "missing key 'rho'"), ({"seeds": 1}, "unknown key 'seeds'")]
)
def test_a_wrong_guess_is_named(tmp_path, edit, words):
    guesses = {"rho": 0.3, "rho_sd": 0.2, "rate": 0.1, "persona": 0.1, "training": 0.0, "question": 0.1, "shared": 0.0} | edit
    (tmp_path / "g.yaml").write_text("\n".join(f"{key}: {value}" for key, value in guesses.items() if value is not None))
    with pytest.raises(InputError, match=words):
        read_guesses(tmp_path / "g.yaml")


def test_sizes_below_the_least_are_refused(capsys):
    with pytest.raises(SystemExit):
        plan_power.main(["--sources", "1"])
    assert "1 must be a whole number, at least 2" in capsys.readouterr().err
