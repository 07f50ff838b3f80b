"""Figures of a study with 40 sources stay readable."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from persona_leakage.figures import along_training, heat_map, new_sources, training
from persona_leakage.infrastructure.files import sha256_of_file, write_json

SOURCES = [f"a_longer_name_{number}" for number in range(40)]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Tables and metrics of 40 sources and 30 bystanders, with made-up numbers."""
    home, generator = tmp_path_factory.mktemp("many"), np.random.default_rng(0)
    rows = [
        {"layer": 1, "source": source, "persona": f"persona_{number}", "category": "made", "related": False, "cosine": 0.06 * number - 0.9}
        | {"rate": found / 20, "found": found, "total": 20}
        for source in SOURCES
        for number, found in enumerate(generator.integers(0, 20, size=30).tolist())
    ]
    pd.DataFrame(rows).to_csv(home / "pairs.csv", index=False)
    write_json(home / "tables.json", {"sha256": {"pairs.csv": sha256_of_file(home / "pairs.csv")}})
    for source in SOURCES:
        write_json(home / f"{source}.json", {"meta": {"program": "train_adapter", "source": source, "seed": 42}, "loss": [3.0, 2.0, 1.0]})
    rhos = generator.uniform(-0.1, 0.8, 40)
    table = {"outcome": "logprob_gain", "source": SOURCES, "rho": rhos, "level": 33.0, "low": 30.0, "high": [36.0] * 39 + [32.0]}
    pd.DataFrame(table).to_csv(home / "new_sources.csv", index=False)
    correlation = {"interval": [0.1, 0.7], "earlier": [0.0, 0.8], "held_out": {"sources": 38}, "sources": 40}
    correlation["positive"] = {"sources": int((rhos > 0).sum())}
    block = {"unit": "nats", "correlation": correlation, "level": {"earlier": [27.0, 39.0]}}
    write_json(home / "new_sources.json", {"meta": {"program": "check_new_sources"}, "outcomes": {"logprob_gain": block}})
    return home


def test_many_curves_have_one_legend_entry_and_few_have_names(home):
    for number, labels in ((40, ["each of 40 sources"]), (2, ["a longer name 0", "a longer name 1"])):
        figure = training.draw(SimpleNamespace(metrics=[home / f"{source}.json" for source in SOURCES[:number]]))
        assert [text.get_text() for text in figure.legends[0].get_texts()] == labels


def test_a_heat_map_of_many_sources_is_no_wider_than_a_page_is_high(home):
    figure = heat_map.draw(SimpleNamespace(pairs=str(home / "pairs.csv"), tables=str(home / "tables.json"), output="heat_map.png"))
    assert figure.get_figwidth() < 14
    assert {label.get_rotation() for label in figure.axes[0].get_xticklabels()} == {90.0}


def test_new_sources_are_in_the_order_of_their_correlation_and_those_outside_are_told(home):
    args = SimpleNamespace(result=home / "new_sources.json", table=home / "new_sources.csv", outcome="logprob_gain")
    figure = new_sources.draw(args)
    left, right = figure.axes
    (points,) = [line for line in left.lines if line.get_label() == "a source"]
    assert list(points.get_xdata()) == sorted(points.get_xdata(), reverse=True) and len(left.get_yticklabels()) == 40
    (outside,) = [line for line in right.lines if line.get_label() == "outside its interval"]
    assert len(outside.get_xdata()) == 1 and right.get_title() == "39 of 40 inside"


def test_recipes_have_a_column_each(home):
    rows = [{"source": source, "own_gain": gain, "mean_gain": gain / 2, "rho": 0.3} for source in SOURCES[:2] for gain in (5.0, 9.0)]
    pd.DataFrame(rows).to_csv(home / "along.csv", index=False)
    figure = along_training.draw(SimpleNamespace(tables=[home / "along.csv"] * 2, labels=["tail", "completion"]))
    assert [axis.get_title() for axis in figure.axes[:2]] == ["tail", "completion"]
    assert [list(line.get_ydata()) for line in figure.axes[0].lines[:2]] == [[2.5, 4.5]] * 2
