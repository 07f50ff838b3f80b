"""The figure of containment: rows in order, values where they belong, nothing where a value is missing."""

import argparse

from persona_leakage.figures.containment import draw, place_of, title_of
from persona_leakage.infrastructure.files import write_json


def block(relative, gain, own, **more):
    return {"relative_leakage": relative, "gain_difference": gain, "own_rate": own, **more}


def test_rows_and_values(tmp_path):
    conditions = {
        "nearest2": {"s": block(0.2, -4.0, 0.9), "mean": block(0.2, -4.0, 0.9, relative_leakage_interval=[0.1, 0.3])},
        "hashall": {"s": block(None, None, 0.1), "mean": block(None, None, 0.1)},
        "hash2": {"s": block(0.4, -2.0, 0.8), "mean": block(0.4, -2.0, 0.8, relative_leakage_interval=[0.3, 0.5])},
    }
    result = {"meta": {"program": "compare_containment"}, "per_condition": conditions, "sources": ["s"], "undefined": None}
    write_json(tmp_path / "containment.json", result)
    figure = draw(argparse.Namespace(containment=tmp_path / "containment.json"))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["hash, 2", "hash, all", "nearest, 2"]
    for axis, column in zip(figure.axes, ("relative_leakage", "gain_difference", "own_rate"), strict=True):
        points = {(round(float(line.get_ydata()[0])), float(line.get_xdata()[0])) for line in axis.lines if len(line.get_xdata()) == 1}
        values = enumerate(("hash2", "hashall", "nearest2"))
        assert points == {(row, conditions[name]["s"][column]) for row, name in values if conditions[name]["s"][column] is not None}
    intervals = [list(line.get_xdata()) for line in figure.axes[0].lines if list(line.get_xdata()) in ([0.3, 0.5], [0.1, 0.3])]
    assert intervals == [[0.3, 0.5], [0.1, 0.3]]


def test_the_order_of_conditions():
    names = ["list", "farthest2", "hashall", "hash10", "spread4", "hash2", "nearest2"]
    assert sorted(names, key=place_of) == ["hash2", "hash10", "hashall", "nearest2", "spread4", "farthest2", "list"]
    assert [title_of(name) for name in ("hash10", "hashall", "list")] == ["hash, 10", "hash, all", "list"]


def test_without_a_comparison_the_figure_says_why(tmp_path):
    result = {"meta": {"program": "compare_containment"}, "per_condition": None, "undefined": "2 bystanders"}
    write_json(tmp_path / "containment.json", result)
    figure = draw(argparse.Namespace(containment=tmp_path / "containment.json"))
    assert all("2 bystanders" in axis.texts[0].get_text() for axis in figure.axes)
