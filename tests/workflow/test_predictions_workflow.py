"""Predictions in the workflow: from the centroids to the page, what is refused, and that training freezes them."""

import json
import shutil

import pandas as pd


def test_predictions_from_a_finished_experiment_and_their_freezing(project_copy):
    """The tiny model has learned nothing that amounts could come from, so there is a ranking, with the reason."""
    project, words = project_copy, ["--", "predictions"]
    refused = project.run("-n", *words, check=False).stdout
    assert "predict_from: missing; name the folder of a finished study" in refused
    refused = project.run("-n", "--", "scores", check=False).stdout
    assert "predictions.json: no such file; freeze predictions with make predict before training" in refused
    project.edit_config(experiment="next", predict_from="results/nowhere")
    assert "predict_from: results/nowhere: no finished study there" in project.run("-n", *words, check=False).stdout
    project.edit_config(predict_from="results/tiny")
    log = project.run("--cores", "2", *words).stdout
    assert "train_adapter" not in log and "sample" not in log
    home = project.folder / "results/next"
    table, facts = pd.read_csv(home / "predictions/predictions.csv"), json.loads((home / "predictions/predictions.json").read_text())
    assert facts["ranking_only"] and table["predicted"].isna().all() and table["rank"].min() == 1
    page = (home / "predictions/index.html").read_text()
    assert "Only a ranking:" in page and all(f"<td>{name}" in page for name in table["persona"])
    assert all((home / f"figures/predictions.{kind}").stat().st_size > 0 for kind in ("pdf", "png", "svg"))
    assert project.planned("predictions") == {}
    shutil.copytree(project.folder / "results/tiny/training", home / "training")
    assert "frozen, because training has begun; score it with make scores" in project.run("-n", *words, check=False).stdout
