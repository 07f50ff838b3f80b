"""Reply lengths, and positions of a fixed text in the replies, of each adapter against the base model."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from persona_leakage.config.blocks.behaviour import trait
from persona_leakage.figures.style import BLUE, GREY, ORANGE, plt, words
from persona_leakage.infrastructure.files import read_json

BASE = "base model"


def add_inputs(parser):
    parser.add_argument("--base-eval", required=True, metavar="PATH", help="the cells of the base model")
    parser.add_argument("--cells", nargs="+", required=True, metavar="PATH", help="the same file of each source")


def draw(args):
    """Mean reply length of every persona, shares of short and truncated replies, and positions, a row for each model."""
    base = read_json(args.base_eval, "score_leakage")
    states = {BASE: {"personas": base["personas"], "source": None}}
    for path in args.cells:
        content = read_json(path, "score_leakage")
        source = content["meta"]["state"].split("/")[0]
        states[source] = {"personas": content["personas"], "source": source}
    place, what = trait(base["meta"]["behaviour"], "position", (None, None))
    figure, axes = plt.subplots(1, 3 if place else 2, figsize=(10.5, 1.3 + 0.36 * len(states)), sharey=True, layout="constrained")
    for position, state in enumerate(states.values()):
        cells = state["personas"]
        strip(axes[0], position, [cell["mean_tokens"] for cell in cells.values()], own(cells, state["source"], "mean_tokens"))
        for key, color, offset in (("short_share", BLUE, -0.17), ("cut_share", ORANGE, 0.17)):
            axes[1].barh(position + offset, np.mean([cell[key] for cell in cells.values()]), height=0.32, color=color)
        if place:
            positions = [cell[place] for cell in cells.values() if cell[place] is not None]
            strip(axes[2], position, positions, own(cells, state["source"], place))
    axes[0].set_yticks(range(len(states)), [words(name) for name in states])
    figure.get_layout_engine().set(w_pad=0.12)  # else the last number of an axis touches the first of the next
    axes[0].invert_yaxis()
    axes[0].set_xlim(left=0)
    uncounted = f"; without {what}" if place else ""
    axes[0].set_xlabel(f"mean reply length in tokens\n(ticks: personas; orange: the source;\nbar: median{uncounted})")
    axes[1].set_xlabel("share of replies\n(blue: under 12 tokens;\norange: cut at the limit)")
    axes[1].set_xlim(left=0)
    axes[1].xaxis.set_major_locator(MaxNLocator(4))
    if place:
        axes[2].set_xlim(-0.03, 1.03)
        axes[2].set_xlabel(f"mean position of {what},\nof replies that have it\n(0: start, 1: end)")
    return figure


def strip(axis, position, values, highlighted):
    """One row of points with its median; ``highlighted`` is a diamond."""
    axis.plot(values, np.full(len(values), position), "|", color=BLUE, markersize=8, alpha=0.5)
    if values:
        axis.plot([np.median(values)] * 2, [position - 0.3, position + 0.3], color=GREY, linewidth=1.5)
    if highlighted is not None:
        axis.plot(highlighted, position, "D", color=ORANGE, markersize=4.5)


def own(cells, source, key):
    """The source's own value, or None for the base model."""
    return cells[source][key] if source else None
