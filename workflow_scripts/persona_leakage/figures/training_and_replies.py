"""Figures of how the run went: loss of each adapter, length of the replies, where the marker stands."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from persona_leakage.figures.style import BLUE, GREY, ORANGE, PALETTE, plt, words

BASE = "base model"
LINES = ("-", "--", ":", "-.")  # of the seeds


def plot_training(curves):
    """Loss of every optimizer step, and its running mean over a twentieth of them. curves: {(source, seed): losses}."""
    figure, axis = plt.subplots(figsize=(6.6, 3.2), layout="constrained")
    sources, seeds = (list(dict.fromkeys(names)) for names in zip(*curves, strict=True))
    colours = {source: PALETTE[place % len(PALETTE)] for place, source in enumerate(sources)}
    lines = {seed: LINES[place % len(LINES)] for place, seed in enumerate(seeds)}
    for (source, seed), losses in curves.items():
        steps, width = np.arange(1, len(losses) + 1), max(1, len(losses) // 20)
        smooth = np.convolve(losses, np.full(width, 1 / width), mode="valid")
        axis.plot(steps, losses, color=colours[source], linewidth=0.4, alpha=0.35)
        axis.plot(steps[width - 1 :], smooth, lines[seed], color=colours[source], linewidth=1.4)
    axis.set_yscale("log")
    axis.set_xlabel("optimizer step")
    axis.set_ylabel("loss (mean over trained tokens, log scale)")
    handles = [plt.Line2D([], [], color=colour, linewidth=1.4, label=words(source)) for source, colour in colours.items()]
    if len(seeds) > 1:
        handles += [plt.Line2D([], [], color="black", linestyle=line, linewidth=1.4, label=f"seed {seed}") for seed, line in lines.items()]
    figure.legend(handles=handles, loc="outside right upper", fontsize=7.5)
    return figure


def plot_replies(states):
    """Mean reply length of every persona, shares of short and cut replies, and where the marker stands, by adapter and base model.

    states: {name: {"personas": cells of marker_eval.json, "source": name or None}}.
    """
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 1.3 + 0.36 * len(states)), sharey=True, layout="constrained")
    for place, state in enumerate(states.values()):
        cells = state["personas"]
        strip(axes[0], place, [cell["mean_tokens"] for cell in cells.values()], own(cells, state["source"], "mean_tokens"))
        for key, colour, offset in (("short_share", BLUE, -0.17), ("cut_share", ORANGE, 0.17)):
            axes[1].barh(place + offset, np.mean([cell[key] for cell in cells.values()]), height=0.32, color=colour)
        positions = [cell["mean_marker_position"] for cell in cells.values() if cell["mean_marker_position"] is not None]
        strip(axes[2], place, positions, own(cells, state["source"], "mean_marker_position"))
    axes[0].set_yticks(range(len(states)), [words(name) for name in states])
    figure.get_layout_engine().set(w_pad=0.12)  # else the last number of an axis touches the first of the next
    axes[0].invert_yaxis()
    axes[0].set_xlim(left=0)
    axes[0].set_xlabel("mean reply length in tokens\n(ticks: personas; orange: the source;\nbar: median; marker not counted)")
    axes[1].set_xlabel("share of replies\n(blue: under 12 tokens;\norange: cut at the limit)")
    axes[1].set_xlim(left=0)
    axes[1].xaxis.set_major_locator(MaxNLocator(4))
    axes[2].set_xlim(-0.03, 1.03)
    axes[2].set_xlabel("mean position of the marker,\nof replies that have it\n(0: start, 1: end)")
    return figure


def strip(axis, place, values, highlighted):
    """One row of points with its median; ``highlighted`` is drawn apart."""
    axis.plot(values, np.full(len(values), place), "|", color=BLUE, markersize=8, alpha=0.5)
    if values:
        axis.plot([np.median(values)] * 2, [place - 0.3, place + 0.3], color=GREY, linewidth=1.5)
    if highlighted is not None:
        axis.plot(highlighted, place, "D", color=ORANGE, markersize=4.5)


def own(cells, source, key):
    """The source's own value, or None for the base model."""
    return cells[source][key] if source else None
