"""The main figure: leakage against cosine, one panel for each source."""

import math

import numpy as np

from persona_leakage.plot_style import BLUE, GREY, ORANGE, plt

LABELLED = 3
COLUMNS = 3


def plot_scatter(table, correlations, layer):
    """Figure with a panel per source; relatives of the source marked, rho, p and N in each title.

    table: the pairs of ``layer``; correlations: {source: block of correlation.json}.
    """
    sources = list(correlations)
    columns = min(len(sources), COLUMNS)
    rows = math.ceil(len(sources) / columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3.3 * columns, 3.1 * rows), squeeze=False, sharey=True, layout="constrained")
    for axis in axes.flat[len(sources) :]:
        axis.set_visible(False)
    for place, source in enumerate(sources):
        axis = axes.flat[place]
        draw_panel(axis, table[table["source"] == source], source, correlations[source])
        if place % columns == 0:
            axis.set_ylabel("leakage (share of replies)")
    figure.supxlabel(f"cosine to the source, centred on the panel (output of block {layer}, base model)", fontsize=9)
    axes.flat[0].legend(loc="upper left", fontsize=7)
    return figure


def draw_panel(axis, pairs, source, correlation):
    """One source: a point per bystander, its own rate as a dashed line, the highest bystanders by name."""
    for related, colour, marker, label in ((False, BLUE, "o", "bystander"), (True, ORANGE, "^", "relative of the source")):
        chosen = pairs[pairs["related"] == related]
        axis.scatter(chosen["cosine"], chosen["rate"], s=20, c=colour, marker=marker, alpha=0.75, linewidths=0, label=label)
    if "source_rate" in pairs:
        axis.axhline(pairs["source_rate"].iloc[0], color=GREY, linestyle="--", linewidth=1, label="the source itself")
    name_highest(axis, pairs.nlargest(LABELLED, "rate").sort_values("cosine"), np.ptp(pairs["cosine"]))
    axis.set_ylim(-0.04, 1.08)
    axis.margins(x=0.15)
    axis.set_title(f"{source.replace('_', ' ')}\n{describe(correlation)}")


def name_highest(axis, pairs, width):
    """Write the names of ``pairs`` above their points, one step higher where the neighbour's name would be in the way."""
    before, step = None, 0
    for _, row in pairs.iterrows():
        crowded = before is not None and row["cosine"] - before["cosine"] < 0.3 * width and abs(row["rate"] - before["rate"]) < 0.06
        before, step = row, step + 1 if crowded else 0
        axis.annotate(
            row["persona"].replace("_", " "),
            (row["cosine"], row["rate"]),
            xytext=(0, 4 + 11 * step),
            textcoords="offset points",
            ha="center",
            fontsize=6.5,
            color="#333333",
        )


def describe(correlation):
    """ "Spearman ρ = 0.41, p = 2e-02, N = 29", or why there is no number."""
    if correlation["undefined"]:
        return f"no correlation: {correlation['undefined']}, N = {correlation['n']}"
    return f"ρ = {correlation['spearman_rho']:.2f}, p = {correlation['spearman_p']:.2g}, N = {correlation['n']}"
