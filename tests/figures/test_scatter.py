"""The main figure: names cover nothing; from base rates above 0, the change and the base rate of each bystander."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.text import Text

from persona_leakage.figures.marks import scale_leakage
from persona_leakage.figures.scatter import LABELLED, draw_change, draw_scatter
from persona_leakage.figures.style import words
from persona_leakage.statistics.leakage.correlations import correlate_sources
from persona_leakage.statistics.leakage.leakage_rates import summarise_rates
from persona_leakage.statistics.leakage.signed_change import describe_change
from persona_leakage.tables.read import read_pairs
from tests.conftest import ROOT

TABLES = {
    "published": ("tests/data/published_pairs.csv", 20),
    "default": ("docs/results/smollm2/analysis/evaluation/seed42/pairs.csv", 21),
    "study": ("docs/results/smollm2_study/analysis/evaluation/seed42/pairs.csv", 21),
}


def boxes_and_lines(axis):
    """[(box of a name [low corner, high corner], end of its line at the point)] in pixels."""
    found = []
    for name in axis.texts:
        box = Text.get_window_extent(name)  # without the line to its point
        found.append((np.array([box.min, box.max]), axis.transData.transform(name.xy)))
    return found


def meets(box, start, stop):
    """Whether a line segment meets a box."""
    points = start + np.linspace(0, 1, 500)[:, None] * (stop - start)
    return bool(((points > box[0]) & (points < box[1])).all(axis=1).any())


def check_names(axis, points):
    """Names stay in the panel, cover no point and no other name, and no line crosses another one or another name."""
    panel, names = axis.get_window_extent(), boxes_and_lines(axis)
    pixels = axis.transData.transform(points)
    for box, end in names:
        assert (box[0] >= panel.min).all() and (box[1] <= panel.max).all()
        assert not ((pixels > box[0] - 2) & (pixels < box[1] + 2)).all(axis=1).any()
        for other, other_end in names:
            if other is box:
                continue
            assert not ((box[0] < other[1]) & (other[0] < box[1])).all()
            start, other_start = np.clip(end, *box), np.clip(other_end, *other)
            assert not meets(other, start, end)
            line, other_line = (a + np.linspace(0, 1, 400)[:, None] * (b - a) for a, b in ((start, end), (other_start, other_end)))
            gaps = np.linalg.norm(line[:, None] - other_line[None], axis=-1)
            assert gaps.min() > 0.2 or np.linalg.norm(end - other_end) < 8


@pytest.mark.parametrize(("path", "layer"), TABLES.values(), ids=TABLES)
def test_names_cover_nothing_and_stay_in_their_panel(path, layer):
    table = read_pairs(ROOT / path)
    table = table[table["layer"] == layer]
    correlations = correlate_sources(table)
    figure = draw_scatter(table, correlations, summarise_rates(table), layer)
    figure.canvas.draw()
    for axis, source in zip(figure.axes, correlations, strict=False):
        rows = table[table["source"] == source].dropna(subset=["cosine", "rate"])
        largest = rows[rows["rate"] > 0].nlargest(LABELLED, "rate")
        assert {name.get_text() for name in axis.texts} <= {words(name) for name in largest["persona"]}
        assert len(axis.texts) >= min(2, len(largest))
        check_names(axis, rows[["cosine", "rate"]].to_numpy())
    plt.close(figure)


def test_small_leakage_is_told_apart():
    """One reply of 200, one of 50 and half of them have places that differ by more than a tenth of the panel; zero has its own."""
    axis = plt.figure().add_subplot()
    scale_leakage(axis.yaxis, 200)
    places = axis.transAxes.inverted().transform(axis.transData.transform([(0, rate) for rate in (0, 0.005, 0.02, 0.5, 1)]))[:, 1]
    assert (np.diff(places) > 0.08).all() and places[0] > 0 and places[-1] < 1
    plt.close(axis.figure)


def test_from_base_rates_it_shows_the_change():
    """Heights are the change, colors the base rate, lines Newcombe's intervals; names of the largest changes stay inside."""
    table = read_pairs(ROOT / TABLES["published"][0])
    table = table[table["layer"] == 20].reset_index(drop=True)
    base = {name: index % 100 / 200 for index, name in enumerate(sorted(set(table["persona"])))}
    table = table.assign(base_rate=table["persona"].map(base), source_rate=0.9, source_base_rate=0.2)
    table.loc[0, "rate"] = float("nan")
    correlations, change = correlate_sources(table), describe_change(table)
    figure = draw_change(table, correlations, change, 20)
    figure.canvas.draw()
    for axis, source in zip(figure.axes, correlations, strict=False):
        pairs = table[(table["source"] == source) & table["rate"].notna()]
        drawn = [points for points in axis.collections if isinstance(points, PathCollection)]
        *bystanders, own = [
            np.c_[points.get_offsets(), points.get_array()] if points.get_array() is not None else points for points in drawn
        ]
        expected = np.c_[pairs["cosine"], pairs["rate"] - pairs["base_rate"], pairs["base_rate"]]
        found = sorted(np.asarray(np.concatenate(bystanders)).tolist())
        assert np.array(found) == pytest.approx(np.array(sorted(expected.tolist())))
        assert own.get_offsets().tolist() == [[1, pytest.approx(0.7)]]
        lines = [line.get_segments()[0][:, 1].tolist() for line in axis.collections if isinstance(line, LineCollection)]
        assert sorted(lines) == pytest.approx(np.array(sorted(block["interval"] for block in change[source]["personas"].values())))
        names = {name.get_text() for name in axis.texts}
        largest = pairs.assign(change=(pairs["rate"] - pairs["base_rate"]).abs()).nlargest(LABELLED, "change")
        assert names <= {words(name) for name in largest["persona"]} and len(names) >= 2
        check_names(axis, pairs.assign(change=pairs["rate"] - pairs["base_rate"])[["cosine", "change"]].to_numpy())
    ends = [end for source in change.values() for block in source["personas"].values() for end in block["interval"]]
    low, high = axis.get_ylim()
    assert low < min(ends) and max(*ends, 0.7) < high < 1.2 and figure.axes[-1].get_xlabel() == "base rate"
    plt.close(figure)
