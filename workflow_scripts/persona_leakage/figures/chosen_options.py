"""Which options the model chooses, by place: the base model and each adapter, by the options' texts and by their letters."""

from string import ascii_uppercase

import numpy as np

from persona_leakage.figures.marks import point_handle
from persona_leakage.figures.style import PALETTE, plt, words
from persona_leakage.infrastructure.files import read_json

BASE = "base model"
COLORS = (*PALETTE[::2], *PALETTE[1::2]) * 3  # neighbours that differ in lightness; enough for A to Z
NAMED = 40  # personas whose names fit below their bars
TITLES = {"text": "by text: place in the file", "letters": "by letter: place as shown"}


def add_inputs(parser):
    parser.add_argument("--base-eval", required=True, metavar="PATH", help="cells.json of the base model")
    parser.add_argument("--evals", nargs="+", required=True, metavar="PATH", help="cells.json of each source")


def draw(args):
    """Stacked shares of each persona, a row for each model and a column for each format, in the order of the base model's first place."""
    base = read_json(args.base_eval, "score_choices")
    states = {BASE: base["personas"]}
    for path in args.evals:
        content = read_json(path, "score_choices")
        states[content["meta"]["state"].split("/")[0]] = content["personas"]
    shares = {name: {persona: shares_of(cell) for persona, cell in cells.items()} for name, cells in states.items()}
    formats, trained = list(next(iter(shares[BASE].values()))), base["meta"]["behaviour"]["scoring"]
    order = sorted(shares[BASE], key=lambda persona: -shares[BASE][persona][trained][0])
    size = (max(4.6, 0.19 * min(len(order), NAMED)) * len(formats), 1.3 + 1.1 * len(states))
    figure, axes = plt.subplots(len(states), len(formats), figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained")
    for row, (name, cells) in zip(axes, shares.items(), strict=True):
        row[0].set_ylabel(words(name).replace(" ", "\n"), rotation=0, ha="right", va="center", fontsize=8)
        for axis, shown in zip(row, formats, strict=True):
            draw_panel(axis, np.array([cells[persona][shown] for persona in order]))
            if name in order:
                axis.plot(order.index(name), 1.06, "v", color="black", markersize=4.5, clip_on=False)
    for axis, shown in zip(axes[0], formats, strict=True):
        axis.set_title(TITLES[shown] + (" (trained)" if shown == trained else ""), pad=10)
    for axis in axes[-1]:
        axis.set_xticks(range(len(order)), map(words, order), rotation=90, fontsize=6.5)
        if len(order) > NAMED:
            axis.set_xticks([])
            axis.set_xlabel(f"{len(order)} personas")
    figure.supylabel("share of the predictions", fontsize=9)
    options = len(shares[BASE][order[0]][trained])
    handles = [
        plt.Rectangle((0, 0), 1, 1, color=color, label=letter) for color, letter in zip(COLORS, ascii_uppercase[:options], strict=False)
    ]
    figure.legend(handles=[*handles, point_handle("the source itself", "black", "v")], loc="outside upper center", ncols=6, fontsize=7.5)
    return figure


def shares_of(cell):
    """{format: share of a cell's predictions at each place}."""
    return {name: np.array(counts) / sum(counts) for name, counts in cell["places"].items()}


def draw_panel(axis, shares):
    """The bars of one model and format: shares [personas, places]."""
    bottoms = np.cumsum(shares, axis=1) - shares
    for values, bottom, color in zip(shares.T, bottoms.T, COLORS, strict=False):
        axis.bar(range(len(shares)), values, bottom=bottom, width=0.9, color=color)
    axis.set_xlim(-0.6, len(shares) - 0.4)
    axis.set_ylim(0, 1)
    axis.set_yticks([0, 0.5, 1])
    axis.tick_params(axis="x", length=0)
