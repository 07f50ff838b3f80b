"""Painters and labels that several figures share: estimates with intervals, rows with names, correlations of the sources."""

import textwrap

import numpy as np

from persona_leakage.figures.style import BLUE, GREY, ORANGE, plt

SHARE = "share of replies that show the behaviour"


def began_above_zero(table):
    """Whether leakage differs from the rates in a pairs table: a bystander shows the behaviour without adapter, or scores are averaged."""
    return "outcome" in table or ("base_rate" in table and bool(np.nan_to_num(table["base_rate"]).any()))


def rate_label(table):
    """The label of an axis with the column rate of a pairs table."""
    return SHARE if began_above_zero(table) else "leakage (share of replies)"


def scale_leakage(axis, replies):
    """Make an x or y axis show shares from 0 to 1 with small ones apart: linear up to one of ``replies``, logarithmic above."""
    step = 1 / max(replies, 2)
    getattr(axis.axes, f"set_{axis.axis_name}scale")("symlog", linthresh=step, linscale=0.35)
    ticks = [0, *(tick for tick in (0.0001, 0.001, 0.01, 0.03, 0.1, 0.3, 1) if tick >= step)]
    axis.set_ticks(ticks, [f"{100 * tick:g} %" for tick in ticks])
    axis.set_ticks([], minor=True)
    getattr(axis.axes, f"set_{axis.axis_name}lim")(-0.4 * step, 1.3)


def draw_estimate(axis, position, value, interval, color=BLUE, marker="o", markersize=5, linewidth=1.2, capstyle="projecting", **style):
    """A point with its interval [low, high] at height ``position``; nothing where ``value`` is None, no line without an interval."""
    if value is None:
        return
    if interval:
        axis.plot(interval, [position, position], color=color, linewidth=linewidth, solid_capstyle=capstyle)
    axis.plot(value, position, color=color, marker=marker, markersize=markersize, linestyle="none", **style)


def draw_bar(axis, value, low, high, color, linewidth=2):
    """A short upright line at ``value`` from height ``low`` to ``high``, for ceilings and means; nothing where ``value`` is None."""
    if value is not None:
        axis.plot([value, value], [low, high], color=color, linewidth=linewidth)


def estimate_handle(label, color=BLUE, marker="o", markersize=5, linewidth=1.2):
    """Legend entry of a point with its interval."""
    return plt.Line2D([], [], color=color, marker=marker, markersize=markersize, linewidth=linewidth, label=label)


def point_handle(label, color, marker, markersize=5, **style):
    """Legend entry of a point without an interval."""
    return plt.Line2D([], [], color=color, marker=marker, markersize=markersize, linestyle="", label=label, **style)


def list_rows(axis, titles):
    """One row for each title, the first on top, and a line at zero."""
    axis.set_yticks(range(len(titles)), titles)
    axis.set_ylim(len(titles) - 0.5, -0.5)
    axis.axvline(0, color=GREY, linewidth=0.8)


def draw_correlations(axis, rows):
    """Rows {title: {"per_source": {source: {"rho"}}, "mean": describe_mean}}: each source's rho as a dot, their mean with its interval."""
    list_rows(axis, list(rows))
    for position, block in enumerate(rows.values()):
        for source in block["per_source"].values():
            draw_estimate(axis, position + 0.18, source["rho"], None, color=ORANGE, marker=".", alpha=0.7)
        if block["mean"]:
            draw_estimate(axis, position, block["mean"]["mean_rho"], block["mean"]["interval"], linewidth=1.3)
    axis.set_xlim(-1.02, 1.02)
    axis.set_xlabel("correlation of cosine with leakage")


def correlation_handles():
    """Legend entries of draw_correlations."""
    return [
        estimate_handle("mean ρ with 95 % interval", linewidth=1.3),
        plt.Line2D([], [], color=ORANGE, marker=".", linestyle="none", label="each source's ρ"),
    ]


def label_cosine(figure, layer):
    """The label below panels that have the cosine to their source as x."""
    figure.supxlabel(f"cosine to the source, centred on the panel (output of block {layer}, base model)", fontsize=9)


def say_why(axis, reason):
    """The reason why there is nothing to draw, in place of the drawing."""
    axis.set_axis_off()
    axis.text(0.5, 0.5, textwrap.fill(f"no comparison: {reason}", 40), ha="center", va="center", fontsize=8, color=GREY)


def number(value):
    """A correlation as text for a title."""
    return "undefined" if value is None else f"{value:.2f}"
