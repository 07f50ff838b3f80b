"""The correlation within each category of bystanders, against that of all pairs and of relatives only."""

from persona_leakage.figures.marks import draw_estimate
from persona_leakage.figures.style import BLUE, GREY, ORANGE, plt, words
from persona_leakage.infrastructure.files import read_json


def add_inputs(parser):
    parser.add_argument("--correlation", required=True, metavar="PATH", help="correlation.json")


def draw(args):
    """A row for each category, sorted by Spearman's rho, below all pairs and relatives."""
    result = read_json(args.correlation, "correlate_leakage")
    layer = result["headline_layer"]
    block = result["layers"][str(layer)]
    rows = [("all pairs", block["pooled"], ORANGE), ("relatives of the source", block["related_only"], ORANGE)]
    known = sorted(block["per_category"].items(), key=lambda item: -(item[1]["spearman_rho"] or -2))
    rows += [(words(name), part, BLUE) for name, part in known]
    figure, axis = plt.subplots(figsize=(5.2, 0.9 + 0.27 * len(rows)), layout="constrained")
    for position, (_, part, color) in enumerate(rows):
        if part["undefined"]:
            axis.annotate(f"none: {part['undefined']}", (0, position), va="center", ha="center", fontsize=7, color=GREY)
        draw_estimate(axis, position, part["spearman_rho"], part["interval_if_independent"], color=color, linewidth=1.6, capstyle="butt")
    axis.axvline(0, color=GREY, linewidth=0.8)
    axis.set_xlim(-1.05, 1.05)
    axis.set_yticks(range(len(rows)), [f"{name} ({part['n']})" for name, part, _ in rows])
    axis.invert_yaxis()
    axis.set_xlabel(
        f"Spearman ρ of cosine with leakage (block {layer}), all sources.\nIn brackets: pairs; lines: 95 %, were they independent"
    )
    return figure
