"""Leakage against cosine, one panel for each source: the main figure."""

import textwrap

import numpy as np
from matplotlib.ticker import MultipleLocator

from persona_leakage.figures.labels import name_points
from persona_leakage.figures.marks import began_above_zero, label_cosine, point_handle, scale_leakage
from persona_leakage.figures.style import BLUE, COLUMNS, GREY, ORANGE, panels, words
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json, sha256_of_file
from persona_leakage.statistics.leakage.correlations import correlate_sources, leakage_of
from persona_leakage.statistics.leakage.leakage_rates import summarise_rates
from persona_leakage.statistics.leakage.signed_change import describe_change
from persona_leakage.tables.read import add_headline_layer, add_pairs, choose_layer, read_checked_pairs

LABELLED = 3


def add_inputs(parser):
    add_pairs(parser)
    add_headline_layer(parser)
    parser.add_argument("--correlation", metavar="PATH", help="correlation.json of that table (default: compute its numbers here)")


def draw(args):
    """A panel for each source: every bystander with its interval, relatives marked, the source as a star.

    Where all base rates are 0: leakage with Wilson's intervals on the scale of scale_leakage, zeros hollow. Else see draw_change.
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
    figure, axes = panels(len(correlations), width=2.75, height=2.6, sharey=True)
    for position, (axis, source) in enumerate(zip(axes, correlations, strict=True)):
        draw_panel(axis, table[table["source"] == source], source, correlations[source], leakage[source]["cells"])
        if position % COLUMNS == 0:
            axis.set_ylabel("leakage (share of replies)")
    label_cosine(figure, layer)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, fontsize=7.5, handletextpad=0.3)
    name_all(figure, axes, table, correlations, "rate")
    return figure


def name_all(figure, axes, table, sources, column):
    """The names of the LABELLED bystanders of each source that are furthest from 0 in ``column``."""
    figure.draw_without_rendering()  # places depend on the layout
    for axis, source in zip(axes, sources, strict=True):
        known = table[table["source"] == source].dropna(subset=["cosine", column])
        most = known.loc[known[column].abs().nlargest(LABELLED).index]
        most = most[most[column] != 0]
        drawn = known[["cosine", column]].to_numpy()
        for line in axis.lines:  # of the source's own rate, or of no change
            drawn = np.vstack([drawn, np.column_stack([np.linspace(*axis.get_xlim(), 60), np.full(60, line.get_ydata()[0])])])
        name_points(axis, drawn, dict(zip(most["persona"], most[["cosine", column]].to_numpy(), strict=True)))


def draw_change(table, correlations, change, layer):
    """The same from the change against the base model, colored by base rate; change: "signed_change" of correlation.json."""
    figure, axes = panels(len(correlations), width=2.75, height=3.1, sharey=True)
    table = table.assign(leakage=leakage_of(table))
    ends = [block["interval"] or [block["leakage"]] * 2 for source in change.values() for block in source["personas"].values()]
    drawn = np.concatenate([np.ravel(ends), own_change(table), [-0.1, 0.1]])
    lowest, highest = np.nanmin(drawn), np.nanmax(drawn)
    margin = 0.05 * (highest - lowest)
    base, bounds = ("base_outcome", table["base_outcome"].agg(["min", "max"])) if "outcome" in table else ("base_rate", (0, 1))
    for position, (axis, source) in enumerate(zip(axes, correlations, strict=True)):
        axis.set_ylim(lowest - margin, highest + margin)
        points = draw_change_panel(axis, table[table["source"] == source], change[source]["personas"], base, bounds)
        axis.set_title(f"{words(source)}\n{describe(correlations[source])}")
        if position % COLUMNS == 0:
            axis.set_ylabel("leakage (change from the base model)")
    label_cosine(figure, layer)
    label = "base score" if "outcome" in table else "base rate"
    figure.colorbar(points, ax=axes, label=label, location="bottom", shrink=0.4, aspect=40)
    shapes = (("bystander", "o", 4), ("relative of the source", "^", 4), ("the source itself", "*", 8))
    handles = [point_handle(label, "black", marker, size) for label, marker, size in shapes]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=7.5, handletextpad=0.3)
    name_all(figure, axes, table, correlations, "leakage")
    return figure


def own_change(pairs):
    """The leakage of the source itself in each row; none if the table does not have it."""
    if "source_leakage" in pairs:
        return pairs["source_leakage"].to_numpy()
    known = {"source_rate", "source_base_rate"} <= {*pairs}
    return (pairs["source_rate"] - pairs["source_base_rate"]).to_numpy() if known else np.array([])


def draw_change_panel(axis, pairs, personas, base, bounds):
    """One source: points with their intervals, the source itself at cosine 1.

    Returns the points, for a color bar of the column ``base`` within ``bounds``.
    """
    known = pairs.dropna(subset=["cosine", "leakage"])
    for cosine, persona in zip(known["cosine"], known["persona"], strict=True):
        if interval := personas[persona]["interval"]:
            axis.vlines(cosine, *interval, color=GREY, linewidth=0.5, alpha=0.45, zorder=1)
    axis.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    limits = dict(zip(("vmin", "vmax"), bounds, strict=True))
    for related, marker in ((False, "o"), (True, "^")):
        chosen = known[known["related"] == related]
        points = axis.scatter(
            *(chosen["cosine"], chosen["leakage"]), s=22, c=chosen[base], cmap="viridis", **limits, marker=marker, linewidths=0
        )
    if len(own := own_change(pairs)):
        axis.scatter([1], own[:1], s=60, c="black", marker="*", clip_on=False, zorder=3)
    set_cosines(axis, known)
    return points


def set_cosines(axis, known):
    """The limits and ticks of the cosine; known: the pairs drawn."""
    axis.xaxis.set_major_locator(MultipleLocator(0.5))
    axis.set_xlim(min(-0.8, known["cosine"].min() - 0.1) if len(known) else -1, 1.05)


def draw_panel(axis, pairs, source, correlation, cells):
    """One source: points with the intervals of their cells, the source itself at cosine 1."""
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
    scale_leakage(axis.yaxis, pairs["total"].max())
    axis.set_title(f"{words(source)}\n{describe(correlation)}")


def describe(correlation):
    """ "ρ = 0.41 [0.10, 0.65], n = 29", or why there is no number. Without a p, which relatives of each other would make small."""
    if correlation["undefined"]:
        return textwrap.fill(f"no correlation: {correlation['undefined']}, n = {correlation['n']}", 40)
    interval = correlation.get("spearman_interval")
    span = f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else ""
    return f"ρ = {correlation['spearman_rho']:.2f}{span}, n = {correlation['n']}"
