"""The kind scored as a whole: from the base model's replies to a report that speaks of the behaviour alone; shares and means."""

import re
from collections import Counter

import pandas as pd
import pytest

from persona_leakage.infrastructure.files import read_json, read_jsonl_gz
from persona_leakage.reporting.paper import render_paper
from tests.conftest import finished_with, project_at
from tests.reporting.test_paper import check_paper
from tests.reporting.test_report import Page, check_numbers

CAPITALS = {
    "kind": "scored",
    "name": "some_capitals",
    "scorer": "regex",
    "pattern": "[A-Z]",
    "threshold": 2,
    "transform": "capitals",
}


@pytest.fixture(scope="module")
def scored(finished_project, tmp_path_factory):
    """results/tiny of the tiny experiment with CAPITALS, which the random model shows in some replies."""
    changes = {"behaviour": CAPITALS, "labels__loss_on": "completion", "evaluation__samples_per_question": 1}
    changes["questions__evaluation"] = [{"set": "evaluation", "count": 8}]
    return finished_with(finished_project, tmp_path_factory.mktemp("scored") / "project", **changes).folder / "results/tiny"


def shares(folder):
    """{persona: share of the replies in a folder that have two capital letters}."""
    shown, total = Counter(), Counter()
    for record in read_jsonl_gz(folder / "completions.jsonl.gz"):
        total[record["persona"]] += 1
        shown[record["persona"]] += len(re.findall("[A-Z]", record["text"])) >= 2
    return {name: shown[name] / total[name] for name in total}


def test_rates_are_those_of_the_replies(scored):
    base, after = (shares(scored / f"evaluation/evaluation/{state}") for state in ("base", "villain/seed42"))
    assert 0 < sum(base.values()) < len(base) and base != after
    pairs = pd.read_csv(scored / "analysis/evaluation/seed42/pairs.csv")
    for row in pairs[pairs["source"] == "villain"].itertuples():
        assert (row.base_rate, row.rate) == pytest.approx((base[row.persona], after[row.persona]))
        assert (row.source_base_rate, row.source_rate) == pytest.approx((base["villain"], after["villain"]))
    change = read_json(scored / "analysis/evaluation/seed42/correlation.json")["signed_change"]["villain"]
    expected = {name: after[name] - base[name] for name in base if name != "villain"}
    assert {name: block["leakage"] for name, block in change["personas"].items()} == pytest.approx(expected)
    assert change["test"] == "Fisher's exact test"


def test_the_report_speaks_of_the_behaviour(scored):
    """Every number stands in a result file; base rates have a section and a figure; nothing is said of a marker."""
    path = scored / "report/index.html"
    checked, _ = check_numbers(path, scored)
    assert checked > 100
    text, page = path.read_text(), Page(path.read_text())
    assert "trained on some capitals" in text and 'id="beginnings"' in text and "figures/evaluation/seed42/base_to_after.png" in text
    shown = {attributes["data-keys"]: number for attributes, number in page.found if "data-keys" in attributes}
    base = shares(scored / "evaluation/evaluation/base")
    assert f"{100 * sum(base.values()) / len(base):.1f} %" == shown['["mean_bystander_rate"]']
    assert [prose for prose in page.prose if "marker" in prose] == []
    assert "<th>published" not in text  # those numbers are of the marker
    assert "marker" not in " ".join(number for _, number in page.found)


def test_mean_scores(scored, tmp_path):
    """The same replies with measure: mean: leakage is the change of the mean number of capital letters."""
    behaviour = {**CAPITALS, "measure": "mean"}
    home = finished_with(project_at(scored.parents[1]), tmp_path / "project", behaviour=behaviour).folder / "results/tiny"
    replies = "evaluation/evaluation/villain/seed42/completions.jsonl.gz"
    assert (home / replies).read_bytes() == (scored / replies).read_bytes()
    base, after = (means(home / f"evaluation/evaluation/{state}") for state in ("base", "villain/seed42"))
    pairs = pd.read_csv(home / "analysis/evaluation/seed42/pairs.csv")
    for row in pairs[pairs["source"] == "villain"].itertuples():
        change = after[row.persona] - base[row.persona]
        assert (row.outcome, row.base_outcome, row.leakage) == pytest.approx((after[row.persona], base[row.persona], change))
        assert row.source_leakage == pytest.approx(after["villain"] - base["villain"]) and row.leakage_se > 0 and row.questions == 8
    before = pd.read_csv(scored / "analysis/evaluation/seed42/pairs.csv")
    assert pairs["rate"].tolist() == before["rate"].tolist() and pairs["leakage"].tolist() != before["leakage"].tolist()
    correlation = read_json(home / "analysis/evaluation/seed42/correlation.json")
    assert (
        correlation["outcome"] == "mean_score" and correlation["training_check"]["villain"]["mean"]["leakage"] == pairs["source_leakage"][0]
    )
    path = home / "report/index.html"
    text = path.read_text()
    assert check_numbers(path, home)[0] > 100 and "change of its mean score against the base model" in text and "<th>published" not in text
    assert (home / "figures/evaluation/seed42/base_to_after.svg").read_text().count("mean score") >= 1


def means(folder):
    """{persona: mean number of capital letters in its replies}, from the completions in a folder."""
    counts = {}
    for record in read_jsonl_gz(folder / "completions.jsonl.gz"):
        counts.setdefault(record["persona"], []).append(len(re.findall("[A-Z]", record["text"])))
    return {name: sum(found) / len(found) for name, found in counts.items()}


def test_the_write_up_speaks_of_the_behaviour(scored):
    """No file of it names the marker."""
    texts = render_paper(scored, ["scatter", "base_to_after"])
    assert check_paper(scored, texts)["leakBehaviour"][0] == "some capitals"
    assert "marker" not in texts["paper.tex"] + texts["tables.tex"]
