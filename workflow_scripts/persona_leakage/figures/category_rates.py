"""How much the personas of each category leak, one panel for each source."""

import numpy as np
import pandas as pd

from persona_leakage.figures.marks import SHARE, draw_estimate, scale_leakage
from persona_leakage.figures.style import GREY, ORANGE, panels, words
from persona_leakage.infrastructure.files import read_json
from persona_leakage.statistics.leakage.leakage_rates import MIN_PERSONAS


def add_inputs(parser):
    parser.add_argument("--correlation", required=True, metavar="PATH", help="correlation.json")


def draw(args):
    """Mean rate of each category with its interval, and every persona as a tick."""
    content = read_json(args.correlation, "correlate_leakage")
    leakage = content["leakage"]
    order = order_of(leakage)
    figure, axes = panels(len(leakage), height=0.75 + 0.23 * len(order), sharey=True)
    for axis, (source, block) in zip(axes, leakage.items(), strict=True):
        for position, name in enumerate(order):
            if category := block["categories"].get(name):
                rates = [block["cells"][persona]["rate"] for persona in category["personas"]]
                axis.plot(rates, np.full(len(rates), position), "|", color=GREY, markersize=6, alpha=0.7)
                draw_estimate(axis, position, category["mean"], category["interval"], markersize=4.5, linewidth=2, capstyle="butt")
        if block["source_rate"] is not None:
            axis.axvline(block["source_rate"], color=ORANGE, linestyle="--", linewidth=1)
        axis.set_title(words(source))
        scale_leakage(axis.xaxis, max(cell["total"] for cell in block["cells"].values()))
        axis.set_yticks(range(len(order)), [words(name) for name in order])
    dashed = "; dashed: the source" if any(block["source_rate"] is not None for block in leakage.values()) else ""
    shown = SHARE if "signed_change" in content else "leakage"
    figure.supxlabel(
        f"{shown}: mean of the category, with 95 % interval from {MIN_PERSONAS} personas on; ticks: personas{dashed}", fontsize=9
    )
    return figure


def order_of(leakage):
    """The categories, upwards by their personas' mean leakage under all sources."""
    rates = [
        (name, block["cells"][persona]["rate"])
        for block in leakage.values()
        for name, category in block["categories"].items()
        for persona in category["personas"]
    ]
    return pd.DataFrame(rates, columns=["category", "rate"]).groupby("category")["rate"].mean().sort_values().index
