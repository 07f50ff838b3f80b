"""Predictions before training: calibration, honest intervals, frozen files, their score, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import predict_leakage
import pytest
import score_predictions
import yaml
from scipy import stats

from persona_leakage.config.blocks.behaviour import recipe_parts
from persona_leakage.config.finished_study import behaviour_differences, recipe_differences, study_config
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json
from persona_leakage.reporting.prediction_page import render_predictions
from persona_leakage.statistics.prediction.calibration import (
    NewSource,
    calibrate_known,
    calibrate_new,
    held_out_predictions,
    judge_known,
    judge_new,
    line,
    rate_of,
)
from persona_leakage.statistics.prediction.coverage import (
    PredictionWorld,
    coverage_from_few,
    coverage_from_one_seed,
    describe_coverage,
    permuted,
    simulated_coverage,
)
from persona_leakage.statistics.prediction.predictions import calibrate, why_ranking_only
from persona_leakage.statistics.prediction.scoring import join_measured, score_source
from persona_leakage.statistics.prediction.study import read_study
from tests.conftest import CONFIG, ROOT
from tests.support.studied import LAYERS, make_study, settings_of


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """(folder, options of predict_leakage) of a study in which leakage follows closeness."""
    folder = tmp_path_factory.mktemp("studied")
    return folder, make_study(folder)


def predict(folder, options, out=None, **settings):
    """Run predict_leakage; (predictions.json, predictions.csv). out: folder of the two files."""
    out = out or folder
    words = ["--settings", json.dumps(settings_of(folder, **settings))]
    for name, value in (options | {"table": out / "p.csv", "output": out / "p.json"}).items():
        words += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    predict_leakage.main(words)
    return read_json(out / "p.json"), pd.read_csv(out / "p.csv")


def score(folder, pairs, **settings):
    """Run score_predictions on a pairs table; the content of score.json."""
    pairs.to_csv(folder / "measured.csv", index=False)
    known = folder / "study/analysis/evaluation/seed1/correlation.json"
    words = ["--settings", json.dumps({"training_recipe": "r1", **settings}), "--predictions", str(folder / "p.json")]
    words += ["--pairs", str(folder / "measured.csv"), "--correlations", str(known)]
    score_predictions.main([*words, "--table", str(folder / "s.csv"), "--output", str(folder / "s.json")])
    return read_json(folder / "s.json")


def measured(table, rates, total=200):
    """A pairs table of the predicted pairs with these rates."""
    found = np.round(np.asarray(rates) * total).astype(int)
    facts = {"layer": LAYERS[0], "category": "made", "related": False, "total": total, "source_rate": 0.9}
    return table[["source", "persona", "cosine"]].assign(found=found, rate=found / total, **facts)


def test_the_line_and_held_out_predictions_are_least_squares():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 9))
    assert np.allclose(line(x, y, True)[::-1], np.polyfit(x, y, 1))
    refitted = [np.polyval(np.polyfit(np.delete(x, index), np.delete(y, index), 1), x[index]) for index in range(9)]
    assert np.allclose(held_out_predictions(x, y, True), refitted)
    assert np.allclose(held_out_predictions(x, y, False), [np.delete(y, index).mean() for index in range(9)])


def test_a_new_source_has_students_interval_over_the_sources():
    """Without variance within sources it is the prediction interval of one more normal value."""
    levels = np.array([-3.0, -2.0, -2.5, -1.0])
    middle, low, high = NewSource(levels, np.zeros(4), 2, 0.0, 0.0, 100).predict(np.array([0.1, 0.7]))
    half = stats.t.ppf(0.975, 3) * levels.std(ddof=1) * np.sqrt(1 + 1 / 4)
    assert np.allclose(middle, levels.mean()) and np.allclose(high - middle, half) and np.allclose(middle - low, half)


def test_the_rate_of_log_odds_is_the_measured_one():
    for found in (0, 3, 200):
        assert rate_of(np.log((found + 0.5) / (200.5 - found)), 200) == pytest.approx(found / 200)


def test_intervals_of_simulated_studies_hold_what_they_promise():
    """Standard error 2 points; the docs have 400 studies."""
    found = simulated_coverage(PredictionWorld(), 120, seed=3)
    assert all(0.89 <= share <= 0.995 for share in found.values()), found


def test_few_of_many_sources_hold_what_they_promise():
    """Sources with levels and slopes of their own; the standard error is below 1 point."""
    closeness, odds = PredictionWorld(sources=60, seeds=1).draw(np.random.default_rng(4))
    odds[0, np.arange(61), np.arange(61)] = np.nan
    found = coverage_from_few(closeness, odds[0], 5, 150)
    assert len(found) == 150 and 0.92 < found.mean() < 0.98
    closeness[1:], odds[:, 1:] = closeness[:1], odds[:, :1]  # 60 copies of a source: its personas alone are new
    assert coverage_from_few(closeness, odds[0], 5, 150).mean() == pytest.approx(0.95, abs=0.04)


def test_one_seed_does_not_show_how_much_trainings_differ(studied):
    study = read_study(studied[1]["study"])
    assert 0.9 < coverage_from_one_seed(study) <= 1, "trainings of this study do not differ"
    assert coverage_from_one_seed(replace(study, rates=study.rates[:1], odds=study.odds[:1])) is None
    shifted = replace(study, rates=np.stack([study.rates[0], np.clip(study.rates[0] + 0.5, 0, 1)]), odds=study.odds[:2])
    assert coverage_from_one_seed(shifted) < 0.6
    one, two = (simulated_coverage(PredictionWorld(seeds=seeds, seed_sd=0.8), 120, seed=6)["known source"] for seeds in (1, 2))
    assert one < 0.88 < two


def test_closeness_is_used_where_it_predicts_and_not_where_labels_are_permuted(studied):
    """A permuted calibration says that it predicts nothing, and gives every persona the same prediction."""
    study = read_study(studied[1]["study"])
    assert judge_known(study.closeness[0], study.odds[:, 0], 0)["used"] and judge_new(study.closeness, study.odds, 0)["used"]
    shuffled = permuted(study, 1)
    for source in ("source0", None):
        model, facts = calibrate(shuffled, source, None)
        assert not facts["used"] and "closeness predicts nothing here" in facts["because"]
        assert np.ptp(model.predict(np.array([-0.9, 0.0, 0.9]))) > 0 and np.ptp(model.predict(np.array([-0.9, 0.9]))[0]) == 0
    rows = {(row["mode"], row["closeness"]): row for row in describe_coverage(study)}
    assert rows["known source", True]["r2"] > 0.5 and 0.9 <= rows["known source", True]["coverage"] <= 0.99
    assert rows["known source", True]["width"] < 0.7 * rows["known source", False]["width"]


def test_too_few_bystanders_or_sources_give_no_interval():
    x, odds = np.linspace(-1, 1, 30), np.random.default_rng(0).normal(size=(2, 30))
    assert calibrate_known(x, odds, True) is None and calibrate_new(x[None], odds[:, None], True) is None


def test_predictions_are_ranked_calibrated_frozen_and_scored(studied, capsys):
    folder, options = studied
    facts, table = predict(folder, options)
    known, new = (table[table["source"] == source] for source in ("source0", "fresh0"))
    assert facts["ranking_only"] is None and facts["sources"]["source0"]["kind"] == "known" and facts["sources"]["fresh0"]["kind"] == "new"
    assert (
        list(known["rank"]) == list(range(1, 9)) and known["cosine"].is_monotonic_decreasing and known["predicted"].is_monotonic_decreasing
    )
    assert ((known["low"] < known["predicted"]) & (known["predicted"] < known["high"])).all()
    assert (new["high"] - new["low"]).mean() > (known["high"] - known["low"]).mean()
    page = render_predictions(folder / "p.json", folder / "p.csv", make_png(folder))
    assert "fresh7" in page and "What would change the answer" in page and facts["digest"][:12] in page
    scored = score(folder, measured(table, table["predicted"]))
    for each in scored["scores"]:
        assert each["amounts"]["coverage"] == 1 and each["rank_correlation"]["cosine"]["rho"] > 0.9, each
    assert scored["warnings"] == [] and "8 of 8 rates inside" in capsys.readouterr().out
    assert "50 replies of a persona" in score(folder, measured(table, table["predicted"], total=50))["warnings"][0]


def make_png(folder):
    """A small figure file."""
    from persona_leakage.figures.style import plt, save_figure

    save_figure(plt.figure(figsize=(1, 1)), folder / "figure.png")
    return folder / "figure.png"


def test_frozen_files_that_changed_are_refused(studied, tmp_path):
    folder, options = studied
    _, table = predict(folder, options)
    pairs = measured(table, table["predicted"])

    def refused(path, edit, words):
        whole = path.read_bytes()
        path.write_bytes(edit(whole))
        with pytest.raises(InputError, match=words):
            score(folder, pairs)
        path.write_bytes(whole)

    refused(folder / "p.csv", lambda text: text.replace(b"cannot tell", b"leaks", 1) + b"\n", r"p\.csv: changed since .* frozen")
    refused(folder / "p.json", lambda text: text.replace(b'"threshold": 0.1', b'"threshold": 0.2'), r"p\.json: changed since .* frozen")
    refused(folder / "study/run_config.yaml", lambda text: text + b"\n", r"run_config\.yaml: changed since .* frozen")
    with pytest.raises(InputError, match="is for the training recipe r1, the results are of r2"):
        score(folder, pairs, training_recipe="r2")
    with pytest.raises(InputError, match="is for the behaviour, questions and sampling m1, the results are of m2"):
        score(folder, pairs, measured="m2")
    with pytest.raises(InputError, match="has none of the new pairs"):
        score(folder, pairs.assign(persona=[f"other{index}" for index in range(len(pairs))]))


def test_a_score_counts_by_hand():
    rows = pd.DataFrame(
        {
            "rate": [0.5, 0.2, 0.0, 0.05, 0.3, 0.01],
            "predicted": [0.4, 0.2, 0.1, 0.05, 0.2, 0.0],
            "low": [0.3, 0.25, 0.0, 0.0, 0.12, 0.0],
            "high": [0.6, 0.4, 0.2, 0.09, 0.3, 0.02],
            "answer": ["leaks", "leaks", "cannot tell", "below", "leaks", "below"],
            "cosine": [6, 4, 1, 3, 5, 2],
            **{name: [1, 1, 1, 1, 1, 2] for name in ("cosine_raw", "word_similarity", "char_similarity")},
            "prompt_tokens": [9] * 6,
        }
    )
    found = score_source(rows)
    assert found["rank_correlation"]["cosine"]["rho"] == pytest.approx(1) and found["auc"]["cosine"] == 1
    assert found["rank_correlation"]["prompt_tokens"] is None
    amounts = found["amounts"]
    assert amounts["covered"] == 5 and amounts["error"] == pytest.approx((0.1 + 0.1 + 0.1 + 0.01) / 6)
    assert amounts["answers"] == {"leaks": [3, 3], "below": [2, 2], "cannot tell": 1}
    predictions = pd.DataFrame({"source": "s", "persona": [*"abc"], "negative": [False, True, False], "studied_rate": [None, None, 0.2]})
    pairs = pd.DataFrame({"source": "s", "persona": [*"abc"], "rate": [0.5, 0.1, 0.2], "found": [5, 1, 2], "total": 10})
    assert list(join_measured(predictions, pairs)["persona"]) == ["a"], "b is a negative, c was measured by the study"


def other_model(options, folder):
    content = read_json(options["centroids-meta"])
    content["meta"]["model"]["digest"] = "d2"
    path = folder / "other.json"
    path.write_text(json.dumps(content))
    return options | {"centroids-meta": path}


def test_another_recipe_or_a_study_at_the_floor_gives_only_a_ranking(studied, tmp_path):
    folder, options = studied
    labels = settings_of(folder)["recipe"]["labels"] | {"loss_on": "marker"}
    facts, table = predict(folder, options, tmp_path, labels=labels)
    assert "labels.loss_on is 'marker', in the study 'tail'" in facts["ranking_only"]
    assert table["predicted"].isna().all() and set(table["answer"]) == {"cannot tell"} and table["rank"].max() == 8
    floor = make_study(tmp_path / "floor", slope=0.0, level=-20.0)
    facts, _ = predict(tmp_path / "floor", floor)
    assert "is at the floor: 0 bystander(s)" in facts["ranking_only"] and "floor" in facts["sources"]["source0"]["because"]


def test_a_panel_that_is_not_the_studys_is_refused(studied, tmp_path):
    folder, options = studied
    with pytest.raises(InputError, match=r"panel\.npz: belongs to model digest d1, not digest d2"):
        predict(folder, other_model(options, tmp_path))
    make_study(tmp_path / "second", seed=9)
    with pytest.raises(InputError, match=r"cosines of the panel differ by up to .* from those that"):
        predict(folder, options | {"panel": tmp_path / "second/panel.npz"})
    (tmp_path / "broken.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"broken\.npz: not the centroids of a panel"):
        predict(folder, options | {"panel": tmp_path / "broken.npz"})


def test_another_model_gives_only_a_ranking(studied):
    folder, options = studied
    study = replace(read_study(options["study"]), model={"name": "larger", "digest": "d9"})
    said = why_ranking_only(study, settings_of(folder)["recipe"], {"name": "made-up", "digest": "d1"})
    assert said == "the study is of another model (larger, digest d9; here made-up, digest d1)"
    unpacked = {"name": "made-up", "location": "x", "revision": "r", "digest": "of other versions"}
    assert why_ranking_only(replace(study, model=unpacked | {"digest": "d3"}), settings_of(folder)["recipe"], unpacked) is None


def test_another_behaviour_gives_only_a_ranking(studied):
    """The kept study of the default's text still serves the default; another text, kind or measurement does not."""
    folder, options = studied
    study, recipe = read_study(options["study"]), settings_of(folder)["recipe"]
    model = {"name": "made-up", "digest": "d1", "location": "nowhere"}
    assert why_ranking_only(study, recipe, model) is None
    other = recipe | {"behaviour": recipe["behaviour"] | {"marker": "[X]"}}
    assert why_ranking_only(study, other, model) == "the study is of another behaviour: behaviour.marker is '[X]', in the study '[ZLT]'"
    capitals = {"kind": "scored", "name": "capitals", "scorer": "capitals", "threshold": 0.9, "direction": "high"}
    said = why_ranking_only(study, recipe | {"behaviour": capitals}, model)
    assert said == "the study is of another behaviour: behaviour.kind is 'scored', in the study 'marker'"
    of_capitals, stricter = study.config | {"behaviour": capitals}, recipe | {"behaviour": capitals | {"threshold": 0.5, "name": "new"}}
    assert behaviour_differences(of_capitals, stricter) == ["behaviour.threshold is 0.5, in the study 0.9"]
    kept = study_config(ROOT / "docs/results/smollm2_study")
    assert behaviour_differences(kept, CONFIG) == [] and recipe_parts(kept["behaviour"]) == recipe_parts(CONFIG["behaviour"]) == []
    assert recipe_parts(capitals) != recipe_parts(capitals | {"threshold": 0.5}) and recipe_parts(other["behaviour"]) != []


def test_a_study_that_is_not_one_is_named(tmp_path, studied):
    with pytest.raises(InputError, match=r"predict_from: .*nowhere: no finished study there"):
        read_study(tmp_path / "nowhere")
    (tmp_path / "run_config.yaml").write_text("config: {experiment: x}")
    with pytest.raises(InputError, match="not the config of an experiment"):
        read_study(tmp_path)
    options = make_study(tmp_path / "half")
    (options["study"] / "analysis/evaluation/seed2/pairs.csv").unlink()
    with pytest.raises(InputError, match=r"predict_from: .*seed2/pairs\.csv: no such file; finish the study"):
        read_study(options["study"])


def test_a_recipe_differs_in_what_trains_an_adapter_only(studied):
    config = yaml.safe_load((studied[0] / "study/run_config.yaml").read_text())["config"]
    other = config | {"training": config["training"] | {"seeds": [9], "learning_rate": 1.0}}
    assert recipe_differences(config, config) == []
    assert recipe_differences(config, other) == ["training.learning_rate is 1.0, in the study 0.001"]
    longer = config | {"evaluation": config["evaluation"] | {"sampling": config["evaluation"]["sampling"] | {"max_new_tokens": 9}}}
    assert [each.split(".")[0] for each in recipe_differences(config, longer)] == ["evaluation"]
    fewer = config | {"training_data": config["training_data"] | {"positives": 20}}
    assert recipe_differences(config, fewer) == ["training_data.positives is 20, in the study None"]
