"""From the base rate, or mean score, of each persona to that with adapter, one panel for each source."""

from persona_leakage.figures.marks import SHARE
from persona_leakage.figures.style import BLUE, COLUMNS, ORANGE, panels, plt, words
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.tables.read import add_pairs, read_checked_pairs

LIMITS = (-0.03, 1.03)


def add_inputs(parser):
    add_pairs(parser)


def draw(args):
    """A thin line for each bystander, relatives in another color, the source in bold. The numbers are the same in all layers."""
    table = read_checked_pairs(args)
    if "base_rate" not in table:
        raise InputError(f"--pairs: {args.pairs} has no column base_rate; give a table with the rates of the base model")
    table = table.drop_duplicates(["source", "persona"])
    sources = list(dict.fromkeys(table["source"]))
    figure, axes = panels(len(sources), width=2.8, sharey=True)
    for position, (axis, source) in enumerate(zip(axes, sources, strict=True)):
        draw_panel(axis, table[table["source"] == source], "outcome" if "outcome" in table else "rate")
        axis.set_title(words(source))
        if position % COLUMNS == 0:
            axis.set_ylabel("mean score" if "outcome" in table else SHARE)
    handles = [
        plt.Line2D([], [], color="black", linewidth=2.5, label="the source itself"),
        plt.Line2D([], [], color=BLUE, linewidth=0.8, label="bystander"),
        plt.Line2D([], [], color=ORANGE, linewidth=0.8, label="relative of the source"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=7.5)
    return figure


def draw_panel(axis, pairs, name):
    """The lines of one source's pairs; none for a bystander without a number, nor for the source where the table lacks its own.

    name: of the column, rate or outcome.
    """
    for row in pairs.dropna(subset=[name, f"base_{name}"]).itertuples():
        color = ORANGE if row.related else BLUE
        axis.plot([0, 1], [getattr(row, f"base_{name}"), getattr(row, name)], ".-", color=color, linewidth=0.7, markersize=3, alpha=0.6)
    if {f"source_base_{name}", f"source_{name}"} <= {*pairs}:
        own = [pairs[f"source_base_{name}"].iloc[0], pairs[f"source_{name}"].iloc[0]]
        axis.plot([0, 1], own, "o-", color="black", linewidth=2.5, markersize=5, zorder=3)
    axis.set_xticks([0, 1], ["base model", "with adapter"])
    axis.set_xlim(-0.2, 1.2)
    if name == "rate":
        axis.set_ylim(*LIMITS)
