"""Frozen predictions against what training showed."""

import pandas as pd

from persona_leakage.figures.style import BLUE, GREY, ORANGE, plt, style_of, words
from persona_leakage.infrastructure.files import read_json


def add_inputs(parser):
    parser.add_argument("--scores", required=True, metavar="PATH", help="score.json")
    parser.add_argument("--table", required=True, metavar="PATH", help="score.csv")


def draw(args):
    """Left: cosine and measured rate. Right: predicted and measured rate with the intervals, and the calibration curve."""
    facts, table = read_json(args.scores, "score_predictions"), pd.read_csv(args.table)
    amounts = table[table["predicted"].notna()]
    columns = 2 if len(amounts) else 1
    figure, axes = plt.subplots(1, columns, figsize=(3.8 * columns, 3.6), squeeze=False, layout="constrained")
    for source, (colour, marker) in style_of(list(dict.fromkeys(table["source"]))).items():
        rows = table[table["source"] == source]
        axes[0, 0].plot(rows["cosine"], rows["rate"], color=colour, marker=marker, linestyle="", markersize=4, label=words(source))
    axes[0, 0].set_xlabel("cosine to the source, before training")
    axes[0, 0].set_ylabel("measured leakage (share of replies)")
    axes[0, 0].legend(fontsize=7.5)
    if len(amounts):
        draw_amounts(axes[0, 1], amounts, facts["curve"])
    return figure


def draw_amounts(axis, rows, curve):
    """Intervals as bars, orange where the measured rate is outside; the diagonal is a perfect prediction."""
    inside = (rows["low"] <= rows["rate"]) & (rows["rate"] <= rows["high"])
    for part, colour, label in ((rows[inside], BLUE, "inside the interval"), (rows[~inside], ORANGE, "outside")):
        spread = [part["predicted"] - part["low"], part["high"] - part["predicted"]]
        axis.errorbar(part["rate"], part["predicted"], yerr=spread, fmt="o", markersize=3, color=colour, linewidth=0.6, label=label)
    points = [[each[key] for each in curve] for key in ("measured", "predicted")]
    axis.plot(*points, color="black", marker="s", label="mean of a fifth")
    top = float(max(rows["high"].max(), rows["rate"].max()))
    axis.plot([0, top], [0, top], color=GREY, linewidth=0.8, linestyle=":")
    axis.set_xlabel("measured leakage")
    axis.set_ylabel("predicted leakage")
    axis.legend(fontsize=7.5)
