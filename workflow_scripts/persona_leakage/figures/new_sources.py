"""Each source of a study with many: its correlation, and its mean leakage as the other sources predict it."""

import pandas as pd

from persona_leakage.figures.style import BLUE, GREY, ORANGE, plt, words
from persona_leakage.infrastructure.files import read_json

ROW = 0.145  # inches


def add_inputs(parser):
    parser.add_argument("--result", required=True, metavar="PATH", help="new_sources.json")
    parser.add_argument("--table", required=True, metavar="PATH", help="new_sources.csv")
    parser.add_argument("--outcome", default="logprob_gain", choices=["logprob_gain", "rate"], help="(default: %(default)s)")


def draw(args):
    """A row for each source, the highest correlation on top. Left: correlation; right: mean leakage and its held-out interval."""
    block = read_json(args.result, "check_new_sources")["outcomes"][args.outcome]
    table = pd.read_csv(args.table)
    table = table[table["outcome"] == args.outcome].sort_values("rho", ascending=False, ignore_index=True)
    height = max(2.4, ROW * len(table) + 1.1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.4, height), sharey=True, layout="constrained")
    left.set_yticks(range(len(table)), map(words, table["source"]), fontsize=6.5)
    left.set_ylim(len(table) - 0.4, -0.6)
    draw_correlations(left, table["rho"], block["correlation"])
    draw_levels(right, table, block["level"]["earlier"], block["unit"])
    handles = {label: handle for axis in (left, right) for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2, fontsize=7)
    return figure


def draw_correlations(axis, rhos, block):
    """Points, the interval for one more source, and that of the earlier study."""
    axis.axvline(0, color=GREY, linewidth=0.8)
    axis.axvspan(*block["interval"], color=BLUE, alpha=0.12, linewidth=0, label="95 % for one more source, from these")
    if block["earlier"]:
        for end in block["earlier"]:
            axis.axvline(end, color="black", linestyle="--", linewidth=0.8)
        axis.lines[-1].set_label("the same from the earlier study")
    axis.plot(rhos, range(len(rhos)), "o", color=BLUE, markersize=3.5, label="a source")
    axis.set_xlim(min(-0.2, rhos.min() - 0.05, block["interval"][0] - 0.05), 1.02)
    axis.set_xlabel("correlation of cosine with leakage")
    inside = block["held_out"]["sources"]
    axis.set_title(f"{block['positive']['sources']} of {block['sources']} above 0; {inside} inside the others' interval", fontsize=8)


def draw_levels(axis, table, earlier, unit):
    """Measured means, and the 95 % intervals that the other sources give, orange where the mean is outside."""
    inside = (table["low"] <= table["level"]) & (table["level"] <= table["high"])
    rows = pd.Series(range(len(table)))
    axis.hlines(rows, table["low"], table["high"], color=GREY, linewidth=0.7, alpha=0.7, label="95 % from the other sources")
    for chosen, colour, label in ((inside, BLUE, "a source"), (~inside, ORANGE, "outside its interval")):
        axis.plot(table["level"][chosen], rows[chosen], "o", color=colour, markersize=3.5, label=label)
    if earlier:
        for end in earlier:
            axis.axvline(end, color="black", linestyle="--", linewidth=0.8)
    axis.set_xlabel(f"mean leakage of its bystanders ({unit})")
    axis.set_title(f"{int(inside.sum())} of {len(table)} inside", fontsize=8)
