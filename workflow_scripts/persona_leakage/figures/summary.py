"""Figures over all sources: who leaks most, the layers, the noise ceiling."""

import numpy as np
from matplotlib.ticker import PercentFormatter

from persona_leakage.figures.style import BLUE, GREEN, GREY, ORANGE, plt, words

TOP = 25


def plot_heat_map(table):
    """Leakage of the personas that rank highest under some source, by source. table: the pairs of one layer."""
    grid = table.pivot(index="persona", columns="source", values="rate")[list(dict.fromkeys(table["source"]))]
    size = len(grid)
    best_rank = grid.rank(ascending=False).min(axis=1)
    grid = grid.loc[best_rank.nsmallest(TOP).index]
    grid = grid.loc[grid.mean(axis=1).sort_values(ascending=False).index]
    figure, axis = plt.subplots(figsize=(2.2 + 0.75 * grid.shape[1], 1.2 + 0.23 * len(grid)), layout="constrained")
    image = axis.imshow(grid, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for (row, column), rate in np.ndenumerate(grid.to_numpy()):
        text = "–" if np.isnan(rate) else f"{100 * rate:.0f}"
        axis.text(column, row, text, ha="center", va="center", fontsize=6.5, color="black" if rate > 0.45 or np.isnan(rate) else "white")
    axis.set_xticks(range(grid.shape[1]), [words(name).replace(" ", "\n", 1) for name in grid], fontsize=7.5)
    axis.set_yticks(range(len(grid)), [words(name) for name in grid.index], fontsize=7.5)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    figure.colorbar(image, ax=axis, label="leakage in %", shrink=0.6, format=PercentFormatter(1, symbol=""))
    shown = f"the {len(grid)} of {size} personas that rank highest under some source" if len(grid) < size else f"all {size} personas"
    axis.set_xlabel(f"{shown}\n(–: the source itself, or not measured)", fontsize=7.5)
    return figure


def plot_layers(layers, headline):
    """Mean within-source correlation and double-centred correlation by layer, with intervals and the band of relabelled personas.

    layers: of correlation.json.
    """
    figure, axis = plt.subplots(figsize=(4.8, 3.4), layout="constrained")
    numbers = [int(name) for name in layers]
    chance = [layer["chance"]["association"] for layer in layers.values()]
    if not any(test["undefined"] for test in chance):
        low, high = ([test["null_mean"] + sign * 1.96 * test["null_sd"] for test in chance] for sign in (-1, 1))
        axis.fill_between(numbers, low, high, color=GREY, alpha=0.25, linewidth=0, label="95 % of relabelled personas, mean ρ")
    for key, value, colour, shift, label in (
        ("within_source", "mean_rho", BLUE, -0.12, "mean of the sources' ρ"),
        ("double_centred", "r", GREEN, 0.12, "double-centred r"),
    ):
        known = [(int(name) + shift, layer[key]) for name, layer in layers.items() if layer[key][value] is not None]
        axis.plot([x for x, _ in known], [block[value] for _, block in known], "o-", color=colour, markersize=5, linewidth=1.2, label=label)
        for x, block in known:
            if block["interval"]:
                axis.plot([x, x], block["interval"], color=colour, linewidth=1.5)
    for place, source in enumerate(next(iter(layers.values()))["per_source"]):
        values = [layer["per_source"][source]["spearman_rho"] for layer in layers.values()]
        axis.plot(
            numbers, [np.nan if value is None else value for value in values], ".-", color=ORANGE, markersize=4, linewidth=0.6, alpha=0.6
        )
        if place == 0:
            axis.lines[-1].set_label("each source's ρ")
    axis.axhline(0, color=GREY, linewidth=0.8)
    axis.set_xticks(numbers, [f"{number}*" if number == headline else str(number) for number in numbers])
    axis.set_xlabel("output of block (*: headline)")
    axis.set_ylabel("correlation of cosine with leakage")
    axis.set_ylim(-1.05, 1.05)
    figure.legend(loc="outside lower center", ncols=2, fontsize=7.5)
    return figure


def plot_noise_ceiling(per_source, ceilings):
    """Each source's correlation beside the highest that its noise lets any predictor reach. Blocks of correlation.json."""
    figure, axis = plt.subplots(figsize=(5, 0.9 + 0.42 * len(per_source)), layout="constrained")
    for place, (source, block) in enumerate(per_source.items()):
        for kind, colour, offset in (("questions", BLUE, -0.1), ("samples", ORANGE, 0.1)):
            ceiling = ceilings[source][kind]["ceiling"]
            if ceiling is not None:
                axis.plot([ceiling, ceiling], [place + offset - 0.12, place + offset + 0.12], color=colour, linewidth=2.5)
        if all(kind["ceiling"] is None for kind in ceilings[source].values()):
            above = {"xytext": (0, 4), "textcoords": "offset points"}  # the interval may be as long as the axis
            axis.annotate("no ceiling: too few leak", (-0.98, place), **above, fontsize=7, color=GREY)
        if block["spearman_rho"] is not None:
            axis.plot(block["spearman_rho"], place, "o", color="black", markersize=5)
        if block.get("spearman_interval"):
            axis.plot(block["spearman_interval"], [place, place], color="black", linewidth=1)
    axis.axvline(0, color=GREY, linewidth=0.8)
    axis.set_yticks(range(len(per_source)), [words(name) for name in per_source])
    axis.set_ylim(len(per_source) - 0.5, -0.5)
    axis.set(xlim=(-1.02, 1.02), xticks=[-1, -0.5, 0, 0.5, 1])
    axis.set_xlabel("Spearman ρ with 95 % interval, and ceilings")
    handles = [
        plt.Line2D([], [], color="black", marker="o", markersize=5, linewidth=1, label="measured ρ"),
        plt.Line2D([], [], color=BLUE, linewidth=2.5, label="ceiling, questions"),
        plt.Line2D([], [], color=ORANGE, linewidth=2.5, label="ceiling, samples"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=7.5)
    return figure
