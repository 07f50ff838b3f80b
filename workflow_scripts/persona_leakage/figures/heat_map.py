"""The leakage of the personas that leak most, by source."""

import numpy as np
from matplotlib.ticker import PercentFormatter

from persona_leakage.figures.marks import began_above_zero
from persona_leakage.figures.style import plt, words
from persona_leakage.tables.read import add_pairs, read_checked_pairs

TOP = 25
FEW = 12  # sources, whose names fit side by side


def add_inputs(parser):
    add_pairs(parser)


def draw(args):
    """Rates in percent, a row for each of the TOP personas by their best rank under any source. It is the same in all layers."""
    table = read_checked_pairs(args).drop_duplicates(["source", "persona"])
    grid = table.pivot(index="persona", columns="source", values="rate")[list(dict.fromkeys(table["source"]))]
    size = len(grid)
    best_rank = grid.rank(ascending=False).min(axis=1)
    grid = grid.loc[best_rank.nsmallest(TOP).index]
    grid = grid.loc[grid.mean(axis=1).sort_values(ascending=False).index]
    few = grid.shape[1] <= FEW
    figure, axis = plt.subplots(figsize=(2.2 + (0.75 if few else 0.26) * grid.shape[1], 1.2 + 0.23 * len(grid)), layout="constrained")
    image = axis.imshow(grid, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for (row, column), rate in np.ndenumerate(grid.to_numpy()):
        text = "–" if np.isnan(rate) else f"{100 * rate:.0f}"
        axis.text(column, row, text, ha="center", va="center", fontsize=6.5, color="black" if rate > 0.45 or np.isnan(rate) else "white")
    names = [words(name).replace(" ", "\n", 1) if few else words(name) for name in grid]
    axis.set_xticks(range(grid.shape[1]), names, fontsize=7.5, rotation=0 if few else 90)
    axis.set_yticks(range(len(grid)), [words(name) for name in grid.index], fontsize=7.5)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    label = "replies that show the behaviour, %" if began_above_zero(table) else "leakage in %"
    figure.colorbar(image, ax=axis, label=label, shrink=0.6, format=PercentFormatter(1, symbol=""))
    shown = f"the {len(grid)} of {size} personas that rank highest under some source" if len(grid) < size else f"all {size} personas"
    axis.set_xlabel(f"{shown},\nby their mean (–: the source itself, or not measured)", fontsize=7.5)
    return figure
