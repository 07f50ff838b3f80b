"""Leakage against cosine, one panel for each source: the main figure."""

import textwrap

import numpy as np
from matplotlib.ticker import MultipleLocator

from persona_leakage.figures.marks import began_above_zero, label_cosine, point_handle
from persona_leakage.figures.style import BLUE, COLUMNS, GREY, ORANGE, panels, words
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json, sha256_of_file
from persona_leakage.statistics.leakage.correlations import correlate_sources
from persona_leakage.statistics.leakage.leakage_rates import summarise_rates
from persona_leakage.statistics.leakage.signed_change import describe_change
from persona_leakage.tables.read import add_headline_layer, add_pairs, choose_layer, read_checked_pairs

LABELLED = 3
# Of a wide letter of a name, in units of the cosine.
NAME_WIDTH = 0.034
# Of the height of a panel: distance of two names, and of the lowest from the lower end.
NAME_HEIGHT = 0.085 / 1.15
LOWEST_NAME = 0.12 / 1.15


def add_inputs(parser):
    add_pairs(parser)
    add_headline_layer(parser)
    parser.add_argument("--correlation", metavar="PATH", help="correlation.json of that table (default: compute its numbers here)")


def draw(args):
    """A panel for each source: every bystander with its interval, relatives marked, the source as a star.

    Where all base rates are 0: leakage with Wilson's intervals, zeros hollow. Else see draw_change.
    """
    table = read_checked_pairs(args)
    known = read_correlation(args) if args.correlation else None
    layer = choose_layer(table, args, known and known["headline_layer"])
    table = table[table["layer"] == layer]
    correlations = known["layers"][str(layer)]["per_source"] if known else correlate_sources(table)
    if began_above_zero(table):
        return draw_change(table, correlations, known["signed_change"] if known else describe_change(table), layer)
    return draw_scatter(table, correlations, known["leakage"] if known else summarise_rates(table), layer)


def read_correlation(args):
    """The content of --correlation; InputError if it was computed from another table than --pairs."""
    content = read_json(args.correlation, "correlate_leakage")
    if content["meta"].get("pairs_sha256") != sha256_of_file(args.pairs):
        raise InputError(f"--correlation: {args.correlation} was not computed from {args.pairs}; leave it out, or compute it again")
    return content


def draw_scatter(table, correlations, leakage, layer):
    """The figure from the pairs of ``layer`` and two blocks of correlation.json: its "per_source" at that layer, and "leakage"."""
    figure, axes = panels(len(correlations), sharey=True)
    for position, (axis, source) in enumerate(zip(axes, correlations, strict=True)):
        draw_panel(axis, table[table["source"] == source], source, correlations[source], leakage[source]["cells"])
        if position % COLUMNS == 0:
            axis.set_ylabel("leakage (share of replies)")
    label_cosine(figure, layer)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, fontsize=7.5, handletextpad=0.3)
    return figure


def draw_change(table, correlations, change, layer):
    """The same from the change against the base model, colored by base rate; change: "signed_change" of correlation.json."""
    figure, axes = panels(len(correlations), height=3.7, sharey=True)
    table = table.assign(leakage=table["rate"] - table["base_rate"])
    ends = np.abs([block["interval"] or [block["leakage"]] * 2 for source in change.values() for block in source["personas"].values()])
    own = np.abs(table["source_rate"] - table["source_base_rate"]).max() if {"source_rate", "source_base_rate"} <= {*table} else 0
    reach = 1.05 * max(ends.max(initial=0.1), own)
    for position, (axis, source) in enumerate(zip(axes, correlations, strict=True)):
        axis.set_ylim(-reach, reach)
        points = draw_change_panel(axis, table[table["source"] == source], change[source]["personas"])
        axis.set_title(f"{words(source)}\n{describe(correlations[source])}")
        if position % COLUMNS == 0:
            axis.set_ylabel("leakage (change from the base model)")
    label_cosine(figure, layer)
    figure.colorbar(points, ax=axes, label="base rate", location="bottom", shrink=0.4, aspect=40)
    shapes = (("bystander", "o", 4), ("relative of the source", "^", 4), ("the source itself", "*", 8))
    handles = [point_handle(label, "black", marker, size) for label, marker, size in shapes]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=7.5, handletextpad=0.3)
    return figure


def draw_change_panel(axis, pairs, personas):
    """One source: points with Newcombe's intervals, the source itself at cosine 1, the bystanders that changed most by name.

    Returns the points, for a color bar of base rates from 0 to 1.
    """
    known = pairs.dropna(subset=["cosine", "rate"])
    for cosine, persona in zip(known["cosine"], known["persona"], strict=True):
        if interval := personas[persona]["interval"]:
            axis.vlines(cosine, *interval, color=GREY, linewidth=0.5, alpha=0.45, zorder=1)
    axis.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    for related, marker in ((False, "o"), (True, "^")):
        chosen = known[known["related"] == related]
        points = axis.scatter(
            chosen["cosine"], chosen["leakage"], s=22, c=chosen["base_rate"], cmap="viridis", vmin=0, vmax=1, marker=marker, linewidths=0
        )
    if {"source_rate", "source_base_rate"} <= {*pairs}:
        own = pairs[["source_rate", "source_base_rate"]].iloc[0]
        axis.scatter([1], own["source_rate"] - own["source_base_rate"], s=60, c="black", marker="*", clip_on=False, zorder=3)
    set_cosines(axis, known)
    most = known.loc[known["leakage"].abs().nlargest(LABELLED).index]
    name_highest(axis, most[most["leakage"] != 0], "leakage", bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5})
    return points


def set_cosines(axis, known):
    """The limits and ticks of the cosine; known: the pairs drawn."""
    axis.xaxis.set_major_locator(MultipleLocator(0.5))
    axis.set_xlim(min(-0.8, known["cosine"].min() - 0.1) if len(known) else -1, 1.05)


def draw_panel(axis, pairs, source, correlation, cells):
    """One source: points with the intervals of their cells, the source itself at cosine 1, the highest bystanders by name."""
    known = pairs.dropna(subset=["cosine", "rate"])
    intervals = np.array([cells[persona]["interval"] for persona in known["persona"]]).reshape(-1, 2)
    axis.vlines(known["cosine"], intervals[:, 0], intervals[:, 1], color=GREY, linewidth=0.5, alpha=0.45, zorder=1)
    for related, color, marker, label in ((False, BLUE, "o", "bystander"), (True, ORANGE, "^", "relative of the source")):
        chosen = known[known["related"] == related]
        some, none = chosen[chosen["found"] > 0], chosen[chosen["found"] == 0]
        axis.scatter(some["cosine"], some["rate"], s=17, c=color, marker=marker, alpha=0.8, linewidths=0, label=label)
        axis.scatter(
            none["cosine"], none["rate"], s=17, facecolors="none", edgecolors=color, marker=marker, linewidths=0.7, label=f"{label}, never"
        )
    if "source_rate" in pairs:
        axis.scatter([1], pairs["source_rate"].iloc[:1], s=60, c="black", marker="*", label="the source itself", clip_on=False, zorder=3)
        axis.axhline(pairs["source_rate"].iloc[0], color=GREY, linestyle="--", linewidth=0.8, zorder=0)
    set_cosines(axis, known)
    axis.set_ylim(-0.05, 1.1)
    name_highest(axis, known[known["found"] > 0].nlargest(LABELLED, "rate"))
    axis.set_title(f"{words(source)}\n{describe(correlation)}")


def name_highest(axis, pairs, column="rate", **style):
    """Names of ``pairs`` left of them all, or right where they do not fit, each with a thin line to its point; none covers another.

    column: their height. style: of the texts.
    """
    rows = pairs.sort_values(column, ascending=False)
    start, end = axis.get_xlim()
    low, high = axis.get_ylim()
    beside = {"right": pairs["cosine"].min() - 0.1, "left": pairs["cosine"].max() + 0.1}  # alignment: where the names end or begin
    room = {"right": beside["right"] - start, "left": end - beside["left"]}
    longest = max(rows["persona"].map(len), default=0) * NAME_WIDTH
    side = "right" if room["right"] >= longest else max(room, key=room.get)
    x = max(beside["right"], start + longest) if side == "right" else min(beside["left"], end - longest)  # within the panel
    heights = rows[column].to_numpy().copy()
    for number in range(1, len(heights)):
        heights[number] = min(heights[number], heights[number - 1] - NAME_HEIGHT * (high - low))
    heights += max(0.0, low + LOWEST_NAME * (high - low) - heights[-1]) if len(heights) else 0  # within the panel, above zeros at its end
    for height, (_, row) in zip(heights, rows.iterrows(), strict=True):
        axis.annotate(
            words(row["persona"]),
            (row["cosine"], row[column]),
            xytext=(x, height),
            ha=side,
            va="center",
            fontsize=6.5,
            color="#333333",
            zorder=4,
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2},
            **style,
        )


def describe(correlation):
    """ "ρ = 0.41 [0.10, 0.65], p = 2e-02, N = 29", or why there is no number."""
    if correlation["undefined"]:
        return textwrap.fill(f"no correlation: {correlation['undefined']}, N = {correlation['n']}", 40)
    interval = correlation.get("spearman_interval")
    span = f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else ""
    return f"ρ = {correlation['spearman_rho']:.2f}{span}, p = {correlation['spearman_p']:.1g}, N = {correlation['n']}"
