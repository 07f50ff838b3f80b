"""The main figure: names of the highest bystanders stand inside their panel."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.text import Text

from persona_leakage.figures.scatter import LABELLED, draw_scatter
from persona_leakage.statistics.leakage.correlations import correlate_sources
from persona_leakage.statistics.leakage.leakage_rates import summarise_rates
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
