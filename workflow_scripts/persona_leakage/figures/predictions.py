"""Predicted leakage of each persona with its interval, closest persona first."""

import pandas as pd

from persona_leakage.figures.marks import draw_estimate, estimate_handle
from persona_leakage.figures.style import BLUE, GREY, ORANGE, plt, words
from persona_leakage.infrastructure.files import read_json

MOST = 30  # personas of a source that are drawn
COLOURS = {"leaks": ORANGE, "below": BLUE, "cannot tell": GREY}


def add_inputs(parser):
    parser.add_argument("--predictions", required=True, metavar="PATH", help="predictions.json")
    parser.add_argument("--table", required=True, metavar="PATH", help="predictions.csv")


def draw(args):
    """A panel for each source: predicted rates, or the cosine where only a ranking is given."""
    facts, table = read_json(args.predictions, "predict_leakage"), pd.read_csv(args.table)
    sources = list(facts["sources"])
    tallest = min(MOST, max((table["source"] == source).sum() for source in sources))
    figure, axes = plt.subplots(1, len(sources), figsize=(4.1 * len(sources), 1.5 + 0.2 * tallest), squeeze=False, layout="constrained")
    for axis, source in zip(axes[0], sources, strict=True):
        draw_source(axis, table[table["source"] == source].head(MOST), facts)
        axis.set_title(words(source))
    if table["predicted"].notna().any():
        handles = [estimate_handle(f"{answer} (95 % interval)", color=colour) for answer, colour in COLOURS.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=3 if len(sources) > 1 else 1, fontsize=7.5)
    return figure


def draw_source(axis, rows, facts):
    """Rows from the closest persona down; a dotted line at the threshold."""
    amounts = rows["predicted"].notna().all()
    for place, row in enumerate(rows.itertuples()):
        value, interval = (row.predicted, [row.low, row.high]) if amounts else (row.cosine, None)
        draw_estimate(axis, place, value, interval, color=COLOURS[row.answer] if amounts else BLUE, markersize=4)
    axis.set_yticks(range(len(rows)), [f"{row.rank}. {words(row.persona)}" for row in rows.itertuples()], fontsize=7.5)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    if not amounts:
        axis.set_xlabel("cosine to the source; only a ranking")
        return
    axis.axvline(facts["threshold"], color=GREY, linewidth=0.8, linestyle=":")
    axis.set_xlim(-0.02, 1.02)
    axis.set_xlabel("predicted leakage (share of replies)")
