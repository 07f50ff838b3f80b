"""Predictions in the workflow: from the centroids to the page, what is refused, and that training freezes them."""

import json

import pandas as pd


def test_predictions_from_a_finished_experiment_and_their_freezing(project_copy):
    """The tiny experiment has no study for amounts, so there is a ranking, with the reason; it is trained already, which the score says."""
    project, words = project_copy, ["--", "predictions"]
    refused = project.run("-n", *words, check=False).stdout
    assert "predict_from: missing; name the folder of a finished study" in refused
    refused = project.run("-n", "--", "scores", check=False).stdout
    assert "predictions.json: no such file; freeze predictions with make predict before training" in refused
    project.edit_config(predict_from="results/nowhere")
    assert "predict_from: results/nowhere: no finished study there" in project.run("-n", *words, check=False).stdout
    project.edit_config(predict_from="results/tiny")
    log = project.run("--cores", "2", *words).stdout
    assert "train_adapter" not in log and "sample" not in log
    home = project.folder / "results/tiny"
    table, facts = pd.read_csv(home / "predictions/predictions.csv"), json.loads((home / "predictions/predictions.json").read_text())
    assert facts["ranking_only"] and table["predicted"].isna().all() and table["rank"].min() == 1
    page = (home / "predictions/index.html").read_text()
    assert "Only a ranking:" in page and all(f">{name}" in page for name in table["persona"])
    assert all((home / f"figures/predictions.{kind}").stat().st_size > 0 for kind in ("pdf", "png", "svg"))
    assert "frozen, because training has begun; score it with make scores" in project.run("-n", *words, check=False).stdout
    assert "trained before the predictions" in project.run("--cores", "2", "--", "scores").stdout
    scores = json.loads((home / "predictions/score.json").read_text())["scores"]
    assert {each["source"] for each in scores} == set(table["source"]) and (home / "figures/prediction_scores.png").stat().st_size > 0
    assert project.planned("scores") == {}
