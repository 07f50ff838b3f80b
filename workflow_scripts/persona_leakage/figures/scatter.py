"""The main figure: leakage against cosine, one panel for each source."""

import textwrap

import numpy as np
from matplotlib.ticker import MultipleLocator

from persona_leakage.figures.style import BLUE, COLUMNS, GREY, ORANGE, panels, words
from persona_leakage.infrastructure.intervals import wilson_interval

LABELLED = 3
# Of a wide letter of a name, in units of the cosine.
NAME_WIDTH = 0.034


def plot_scatter(table, correlations, layer):
    """Figure with a panel per source: every bystander with its Wilson interval, zeros hollow, relatives marked, the source as a star.

    table: the pairs of ``layer``; correlations: {source: block of correlation.json}, whose rho, p and N stand in the titles.
    """
    figure, axes = panels(len(correlations), sharey=True)
    for place, (axis, source) in enumerate(zip(axes, correlations, strict=True)):
        draw_panel(axis, table[table["source"] == source], source, correlations[source])
        if place % COLUMNS == 0:
            axis.set_ylabel("leakage (share of replies)")
    figure.supxlabel(f"cosine to the source, centred on the panel (output of block {layer}, base model)", fontsize=9)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, fontsize=7.5, handletextpad=0.3)
    return figure


def draw_panel(axis, pairs, source, correlation):
    """One source: points with intervals, the source itself at cosine 1, the highest bystanders by name."""
    known = pairs.dropna(subset=["cosine", "rate"])
    intervals = np.array([wilson_interval(row.found, row.total) for row in known.itertuples()]).reshape(-1, 2)
    axis.vlines(known["cosine"], intervals[:, 0], intervals[:, 1], color=GREY, linewidth=0.5, alpha=0.45, zorder=1)
    for related, colour, marker, label in ((False, BLUE, "o", "bystander"), (True, ORANGE, "^", "relative of the source")):
        chosen = known[known["related"] == related]
        some, none = chosen[chosen["found"] > 0], chosen[chosen["found"] == 0]
        axis.scatter(some["cosine"], some["rate"], s=17, c=colour, marker=marker, alpha=0.8, linewidths=0, label=label)
        axis.scatter(
            none["cosine"], none["rate"], s=17, facecolors="none", edgecolors=colour, marker=marker, linewidths=0.7, label=f"{label}, never"
        )
    if "source_rate" in pairs:
        axis.scatter([1], pairs["source_rate"].iloc[:1], s=60, c="black", marker="*", label="the source itself", clip_on=False, zorder=3)
        axis.axhline(pairs["source_rate"].iloc[0], color=GREY, linestyle="--", linewidth=0.8, zorder=0)
    axis.xaxis.set_major_locator(MultipleLocator(0.5))
    axis.set_xlim(min(-0.8, known["cosine"].min() - 0.1) if len(known) else -1, 1.05)
    axis.set_ylim(-0.05, 1.1)
    name_highest(axis, known[known["found"] > 0].nlargest(LABELLED, "rate"))
    axis.set_title(f"{words(source)}\n{describe(correlation)}")


def name_highest(axis, pairs):
    """Names of ``pairs`` left of them all, or right where they do not fit, each with a thin line to its point; none covers another."""
    rows = pairs.sort_values("rate", ascending=False)
    start, end = axis.get_xlim()
    beside = {"right": pairs["cosine"].min() - 0.1, "left": pairs["cosine"].max() + 0.1}  # alignment: where the names end or begin
    room = {"right": beside["right"] - start, "left": end - beside["left"]}
    longest = max(rows["persona"].map(len), default=0) * NAME_WIDTH
    side = "right" if room["right"] >= longest else max(room, key=room.get)
    place = max(beside["right"], start + longest) if side == "right" else min(beside["left"], end - longest)  # within the panel
    heights = rows["rate"].to_numpy().copy()
    for number in range(1, len(heights)):
        heights[number] = min(heights[number], heights[number - 1] - 0.085)
    heights += max(0.0, 0.07 - heights[-1]) if len(heights) else 0  # above the zeros
    for height, (_, row) in zip(heights, rows.iterrows(), strict=True):
        axis.annotate(
            words(row["persona"]),
            (row["cosine"], row["rate"]),
            xytext=(place, height),
            ha=side,
            va="center",
            fontsize=6.5,
            color="#333333",
            zorder=4,
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2},
        )


def describe(correlation):
    """ "ρ = 0.41 [0.10, 0.65], p = 2e-02, N = 29", or why there is no number."""
    if correlation["undefined"]:
        return textwrap.fill(f"no correlation: {correlation['undefined']}, N = {correlation['n']}", 40)
    interval = correlation.get("spearman_interval")
    span = f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else ""
    return f"ρ = {correlation['spearman_rho']:.2f}{span}, p = {correlation['spearman_p']:.1g}, N = {correlation['n']}"
