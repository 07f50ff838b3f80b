"""What many sources tell of one more: against other implementations, in studies with a known answer, and what is refused."""

import check_new_sources
import numpy as np
import pandas as pd
import pytest
from statsmodels.api import OLS, add_constant

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json
from persona_leakage.statistics.prediction.new_sources import (
    describe_bystanders,
    describe_correlations,
    describe_levels,
    hold_out_bystanders,
    hold_out_levels,
)
from tests.support.studied import make_study


def world(seed, sources=30, personas=80, slope=2.0):
    """(closeness, outcome) [S, P] of sources with levels and slopes of their own; a source's own cell is NaN."""
    generator = np.random.default_rng(seed)
    closeness = generator.normal(size=(sources, personas))
    level, slopes = generator.normal(30, 2, (sources, 1)), generator.normal(slope, 0.5, (sources, 1))
    outcome = level + slopes * closeness + generator.normal(size=(sources, personas))
    outcome[np.arange(sources), np.arange(sources)] = np.nan
    return np.where(np.isnan(outcome), np.nan, closeness), outcome


def test_levels_are_predicted_as_statsmodels_does():
    generator = np.random.default_rng(0)
    x = generator.normal(size=12)
    levels = 3 + x + generator.normal(size=12)
    for predictor in (None, x):
        design = np.ones((12, 1)) if predictor is None else add_constant(predictor)
        for index, row in enumerate(hold_out_levels(levels, predictor)):
            fitted = OLS(np.delete(levels, index), np.delete(design, index, axis=0)).fit()
            expected = fitted.get_prediction(design[[index]]).summary_frame(alpha=0.05)
            assert row == pytest.approx(expected[["mean", "obs_ci_lower", "obs_ci_upper"]].to_numpy()[0])


def test_a_predictor_of_the_level_is_found_and_noise_is_not():
    generator = np.random.default_rng(1)
    x, noise = generator.normal(size=(2, 40))
    levels = 30 + 2 * x + generator.normal(size=40)
    found = describe_levels(levels, {"x": x, "noise": noise}, earlier=np.array([29.0, 30.0, 31.0]))
    assert found["predictors"]["x"]["p_holm"] < 1e-4 and found["predictors"]["x"]["r2"] > 0.5
    assert found["predictors"]["noise"]["p_holm"] > 0.05 and found["predictors"]["noise"]["r2"] < 0.05
    assert found["predictors"]["none"]["r2"] == 0 and 36 <= found["predictors"]["none"]["held_out"]["sources"] <= 40
    low, high = found["earlier"]
    assert (low, high) == pytest.approx((30 - 4.3027 * (4 / 3) ** 0.5, 30 + 4.3027 * (4 / 3) ** 0.5), rel=1e-4)
    assert found["inside_earlier"]["sources"] == ((low <= levels) & (levels <= high)).sum()


def test_intervals_of_correlations_hold_95_percent_of_new_sources():
    generator = np.random.default_rng(2)
    inside = [describe_correlations(np.tanh(generator.normal(0.5, 0.2, 20)), [100] * 20)["held_out"]["share"] for _ in range(40)]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)
    found = describe_correlations([0.5, 0.4, -0.1, 0.6, 0.3, 0.2], [50] * 6, earlier=[0.0, 0.45])
    assert found["positive"]["sources"] == 5 and found["lowest"] == -0.1 and found["inside_earlier"]["sources"] == 3


def test_bystanders_of_a_held_out_source_are_inside_their_intervals():
    closeness, outcome = world(3)
    found = describe_bystanders(closeness, outcome)
    assert found["closeness"]["pairs"] == 30 * 79
    assert 0.92 < found["closeness"]["coverage"] < 0.98 and 0.92 < found["none"]["coverage"] < 0.98
    assert found["gain"]["interval"][0] > 0 and found["closeness"]["error"] < found["none"]["error"]
    unrelated = describe_bystanders(*world(4, slope=0.0))
    assert unrelated["gain"]["interval"][0] < 0


def test_a_held_out_pair_does_not_see_its_source_nor_its_persona():
    closeness, outcome = world(5, sources=6, personas=20)
    before = hold_out_bystanders(closeness, outcome, True)
    changed = outcome.copy()
    changed[2] += 100
    changed[:, 7] -= 100
    after = hold_out_bystanders(closeness, changed, True)
    assert after[:, 2, 7] == pytest.approx(before[:, 2, 7])
    assert not np.allclose(after[:, 2, 8], before[:, 2, 8])


def with_gains(folder):
    """A made-up study of five sources whose tables have gains that follow closeness."""
    make_study(folder)
    for path in (folder / "study/analysis/evaluation").glob("seed*/pairs.csv"):
        table = pd.read_csv(path)
        noise = np.repeat(np.random.default_rng(0).normal(0, 0.5, len(table) // 2), 2)  # two layers
        table["logprob_gain"] = 30 + 5 * table["cosine"] + table["source"].str[-1].astype(int) + noise
        length = table["persona"].str[-1].astype(float)
        table.assign(logprob_replies=20, cosine_raw=0.9, prompt_tokens=9, base_reply_tokens=length).to_csv(path, index=False)
    return folder / "study"


def test_the_program_writes_the_answers_and_names_what_is_wrong(tmp_path, monkeypatch, capsys):
    study = with_gains(tmp_path / "a")
    with pytest.raises(InputError, match="has 5 sources whose adapters learned the behaviour; at least 6 needed"):
        check_new_sources.main([str(study)])
    monkeypatch.setattr(check_new_sources, "FEWEST", 5)
    check_new_sources.main([str(study), "--output-folder", str(tmp_path / "out")])
    found = read_json(tmp_path / "out/new_sources.json")["outcomes"]["logprob_gain"]
    assert set(found["level"]["predictors"]) == {"none", "base_reply_tokens"}, "the others are constant"
    assert found["correlation"]["positive"]["sources"] == 5 and found["bystanders"]["none"]["pairs"] == 5 * 54
    table = pd.read_csv(tmp_path / "out/new_sources.csv")
    levels = table[table["outcome"] == "logprob_gain"].set_index("source")["level"]
    assert levels["source4"] - levels["source0"] == pytest.approx(4, abs=0.3)
    assert "correlation of one more source" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"--earlier: .* has sources of .*: source0, source1"):
        check_new_sources.main([str(study), "--earlier", str(study)])
    make_study(tmp_path / "b")
    with pytest.raises(InputError, match=r"pairs\.csv: has no column logprob_gain; set evaluation\.teacher_forced"):
        check_new_sources.main([str(tmp_path / "b/study")])
