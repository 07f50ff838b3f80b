"""Correlation of cosine with leakage from base and from adapted hidden states, and movement towards the source."""

import pandas as pd
from matplotlib.ticker import PercentFormatter

from persona_leakage.figures.marks import number, point_handle, rate_label
from persona_leakage.figures.style import BLUE, GREY, ORANGE, panels, plt, words
from persona_leakage.infrastructure.files import check_digest, read_json


def add_inputs(parser):
    parser.add_argument("--table", required=True, metavar="PATH", help="adapted_geometry.csv")
    parser.add_argument("--result", required=True, metavar="PATH", help="adapted_geometry.json")


def draw(args):
    """Correlation by layer from base and adapted states; then a panel per source: leakage against movement towards the source.

    The panels show the headline layer.
    """
    result = read_json(args.result, "compare_geometries")
    check_digest(args.table, result["meta"]["table_sha256"], args.result)
    table = pd.read_csv(args.table)
    layer = str(result["headline_layer"])
    sources = list(result["layers"][layer]["per_source"])
    figure, axes = panels(1 + len(sources))
    for state, color, shift in (("base", BLUE, -0.15), ("adapted", ORANGE, 0.15)):
        for position, block in enumerate(result["layers"].values()):
            for mark, source in zip("osD^v" * len(sources), sources, strict=False):
                found = block["per_source"][source][state]["rho"]
                if found is not None:
                    axes[0].plot(position + shift, found, mark, color=color, markersize=3, alpha=0.5)
            joint = block["joint"][state]
            if joint and joint["interval"]:
                axes[0].plot([position + shift] * 2, joint["interval"], color=color, linewidth=1.2)
            if joint:
                axes[0].plot(position + shift, joint["mean_rho"], "_", color=color, markersize=12, markeredgewidth=2)
    axes[0].axhline(0, color=GREY, linewidth=0.8)
    axes[0].set_xticks(range(len(result["layers"])), [f"{name}*" if name == layer else name for name in result["layers"]])
    axes[0].set_ylim(-1.05, 1.05)
    axes[0].set_xlabel("output of block (*: headline)")
    axes[0].set_ylabel("Spearman ρ of cosine with leakage")
    rows = table[table["layer"] == int(layer)]
    joint = result["layers"][layer]["joint"]["movement"]
    for axis, source in zip(axes[1:], sources, strict=True):
        pairs = rows[rows["source"] == source]
        axis.plot(100 * pairs["towards_beyond_panel"], pairs["rate"], "o", color=BLUE, markersize=4, alpha=0.7)
        axis.axvline(0, color=GREY, linewidth=0.8)
        moved = joint and (joint["towards_beyond_panel"]["per_source"] or {}).get(source)
        axis.set_title(f"{words(source)}: ρ = {number(moved)}")
        axis.yaxis.set_major_formatter(PercentFormatter(1))
        axis.set_xlabel("moved towards the source, % of the way")
        axis.set_ylabel(rate_label(table))
    handles = [
        plt.Line2D([], [], color=BLUE, marker="_", markersize=10, markeredgewidth=2, label="base states: mean, 95 % interval"),
        plt.Line2D([], [], color=ORANGE, marker="_", markersize=10, markeredgewidth=2, label="adapted states: the same"),
        point_handle("(small) each source", GREY, "o", markersize=3),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=7.5)
    return figure
