"""Interval and power for a new source and for the mean of sources, by the size of the study."""

from itertools import product

import pandas as pd

from persona_leakage.figures.style import GREY, plt, style_of

TITLES = {"mean": "mean of sources like these", "new_source": "one more source"}


def add_inputs(parser):
    parser.add_argument("--table", required=True, metavar="PATH", help="power.csv")


def draw(args):
    """Above: 95 % intervals of the correlation by number of sources; below: the chance that they are above 0."""
    table = pd.read_csv(args.table)
    varied = [name for name in ("personas", "questions", "replies", "seeds") if table[name].nunique() > 1]
    groups = table.groupby(varied, sort=True) if varied else [((), table)]
    named = {", ".join(f"{value} {name}" for name, value in zip(varied, key, strict=True)): rows for key, rows in groups}
    figure, axes = plt.subplots(2, 2, figsize=(7.4, 5.4), sharex=True, sharey="row", layout="constrained")
    styles = style_of(list(named))
    for (column, part), (label, rows) in product(enumerate(TITLES), named.items()):
        colour, marker = styles[label]
        style = {"color": colour, "marker": marker, "markersize": 3.5, "linewidth": 1}
        axes[0, column].plot(rows["sources"], rows[f"{part}_low"], **style, label=label)
        axes[0, column].plot(rows["sources"], rows[f"{part}_high"], **style)
        axes[1, column].plot(rows["sources"], 100 * rows[f"{part}_power"], **style)
        axes[0, column].set_title(TITLES[part])
        axes[1, column].set_xlabel("sources")
    for axis in axes[0]:
        axis.axhline(0, color=GREY, linewidth=0.8)
    for axis in axes[1]:
        axis.axhline(80, color=GREY, linewidth=0.8, linestyle=":")
    axes[0, 0].set_ylabel("95 % interval of the correlation")
    axes[1, 0].set_ylabel("power, %")
    if varied:
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=min(3, len(named)), fontsize=7.5)
    return figure
