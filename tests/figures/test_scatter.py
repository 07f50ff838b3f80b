"""The main figure: names stand inside their panel; from base rates above 0, the change and the base rate of each bystander."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.text import Text

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


@pytest.mark.parametrize(("path", "layer"), TABLES.values(), ids=TABLES)
def test_names_stay_in_their_panel(path, layer):
    table = read_pairs(ROOT / path)
    table = table[table["layer"] == layer]
    correlations = correlate_sources(table)
    figure = draw_scatter(table, correlations, summarise_rates(table), layer)
    figure.canvas.draw()
    for axis in figure.axes[: len(correlations)]:
        panel = axis.get_window_extent()
        assert len(axis.texts) == LABELLED
        for name in axis.texts:
            words = Text.get_window_extent(name)  # without the line to its point
            assert panel.x0 <= words.x0 and words.x1 <= panel.x1 and panel.y0 <= words.y0 and words.y1 <= panel.y1, name.get_text()
    plt.close(figure)


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
        assert names == {words(name) for name in largest["persona"]}
        panel = axis.get_window_extent()
        for name in axis.texts:
            box = Text.get_window_extent(name)
            assert panel.x0 <= box.x0 and box.x1 <= panel.x1 and panel.y0 <= box.y0 and box.y1 <= panel.y1, name.get_text()
    assert axis.get_ylim()[0] == -axis.get_ylim()[1] and figure.axes[-1].get_xlabel() == "base rate"
    plt.close(figure)
