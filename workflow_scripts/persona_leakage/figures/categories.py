"""Figures by the bystander's category: where the points lie, how much each category leaks, its correlation."""

import numpy as np
from scipy import stats

from persona_leakage.figures.style import BLUE, GREY, ORANGE, panels, plt, style_of, words
from persona_leakage.infrastructure.intervals import correlation_interval, plain_interval

MIN_PERSONAS = 5


def plot_category_scatter(table, layer):
    """Leakage against cosine, a panel per source, categories by colour and shape. table: the pairs of ``layer``."""
    sources = list(dict.fromkeys(table["source"]))
    styles = style_of(sorted(set(table["category"])))
    figure, axes = panels(len(sources), sharex=True, sharey=True)
    for place, (axis, source) in enumerate(zip(axes, sources, strict=True)):
        for category, rows in table[table["source"] == source].groupby("category"):
            colour, marker = styles[category]
            axis.scatter(rows["cosine"], rows["rate"], s=16, c=colour, marker=marker, alpha=0.8, linewidths=0)
        axis.set_title(words(source))
        axis.set_ylim(-0.04, 1.04)
        if place % 3 == 0:
            axis.set_ylabel("leakage (share of replies)")
    handles = [
        plt.Line2D([], [], linestyle="", marker=marker, color=colour, label=words(name)) for name, (colour, marker) in styles.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=6, fontsize=7.5, handletextpad=0.1)
    figure.supxlabel(f"cosine to the source, centred on the panel (output of block {layer}, base model)", fontsize=9)
    return figure


def category_means(rates):
    """(mean, [low, high]) of a category's leakage rates, Student's t over its personas, within [0, 1]; interval None for fewer than 5."""
    if len(rates) < MIN_PERSONAS:
        return float(rates.mean()), None
    low, high = plain_interval(float(rates.mean()), float(stats.sem(rates)), len(rates) - 1)
    return float(rates.mean()), [max(0.0, low), min(1.0, high)]


def plot_category_rates(table):
    """Mean leakage of each category with its interval, and every persona as a point; a panel per source. table: pairs of one layer."""
    sources = list(dict.fromkeys(table["source"]))
    order = table.groupby("category")["rate"].mean().sort_values().index
    figure, axes = panels(len(sources), height=0.75 + 0.23 * len(order), sharey=True)
    for axis, source in zip(axes, sources, strict=True):
        rows = table[table["source"] == source]
        for place, category in enumerate(order):
            rates = rows[rows["category"] == category]["rate"].dropna().to_numpy()
            if not len(rates):
                continue
            mean, interval = category_means(rates)
            axis.plot(rates, np.full(len(rates), place), "|", color=GREY, markersize=6, alpha=0.7)
            if interval:
                axis.plot(interval, [place, place], color=BLUE, linewidth=2, solid_capstyle="butt")
            axis.plot(mean, place, "o", color=BLUE, markersize=4.5)
        if "source_rate" in rows:
            axis.axvline(rows["source_rate"].iloc[0], color=ORANGE, linestyle="--", linewidth=1)
        axis.set_title(words(source))
        axis.set_xlim(-0.03, 1.03)
        axis.set_yticks(range(len(order)), [words(name) for name in order])
    dashed = "; dashed: the source" if "source_rate" in table else ""
    figure.supxlabel(
        f"leakage: mean of the category, with 95 % interval from {MIN_PERSONAS} personas on; ticks: personas{dashed}", fontsize=9
    )
    return figure


def plot_category_correlations(block, layer):
    """Spearman correlation within each category against all pairs and relatives only. block: a layer of correlation.json."""
    rows = [("all pairs", block["pooled"], ORANGE), ("relatives of the source", block["related_only"], ORANGE)]
    known = [(name, part) for name, part in block["per_category"].items()]
    rows += [(words(name), part, BLUE) for name, part in sorted(known, key=lambda item: -(item[1]["spearman_rho"] or -2))]
    figure, axis = plt.subplots(figsize=(5.2, 0.9 + 0.27 * len(rows)), layout="constrained")
    for place, (_, part, colour) in enumerate(rows):
        if part["undefined"]:
            axis.annotate(f"none: {part['undefined']}", (0, place), va="center", ha="center", fontsize=7, color=GREY)
            continue
        rho = part["spearman_rho"]
        interval = correlation_interval(rho, spearman_error(rho, part["n"]), np.inf) if part["n"] > 3 else None
        if interval:
            axis.plot(interval, [place, place], color=colour, linewidth=1.6, solid_capstyle="butt")
        axis.plot(rho, place, "o", color=colour, markersize=5)
    axis.axvline(0, color=GREY, linewidth=0.8)
    axis.set_xlim(-1.05, 1.05)
    axis.set_yticks(range(len(rows)), [f"{name} ({part['n']})" for name, part, _ in rows])
    axis.invert_yaxis()
    axis.set_xlabel(
        f"Spearman ρ of cosine with leakage (block {layer}), all sources.\nIn brackets: pairs; lines: 95 %, were they independent"
    )
    return figure


def spearman_error(rho, size):
    """Standard error of Spearman's rho over independent pairs (Bonett & Wright 2000)."""
    return float((1 - rho**2) * np.sqrt((1 + rho**2 / 2) / (size - 3)))
