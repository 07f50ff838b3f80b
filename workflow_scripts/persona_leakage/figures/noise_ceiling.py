"""Each source's correlation and the highest that noise lets any predictor reach."""

from persona_leakage.figures.marks import draw_bar, draw_estimate, estimate_handle, list_rows
from persona_leakage.figures.style import BLUE, GREY, ORANGE, plt, words
from persona_leakage.infrastructure.files import read_json


def add_inputs(parser):
    parser.add_argument("--correlation", required=True, metavar="PATH", help="correlation.json")


def draw(args):
    """A row for each source: Spearman's rho with its interval, and ceilings from halves of the questions and of the samples."""
    result = read_json(args.correlation, "correlate_leakage")
    per_source, ceilings = result["layers"][str(result["headline_layer"])]["per_source"], result["noise_ceiling"]
    figure, axis = plt.subplots(figsize=(5, 0.9 + 0.42 * len(per_source)), layout="constrained")
    for position, (source, block) in enumerate(per_source.items()):
        for kind, color, offset in (("questions", BLUE, -0.1), ("samples", ORANGE, 0.1)):
            middle = position + offset
            draw_bar(axis, ceilings[source][kind]["ceiling"], middle - 0.12, middle + 0.12, color, linewidth=2.5)
        if all(kind["ceiling"] is None for kind in ceilings[source].values()):
            above = {"xytext": (0, 4), "textcoords": "offset points"}  # the interval may be as long as the axis
            axis.annotate("no ceiling: too few leak", (-0.98, position), **above, fontsize=7, color=GREY)
        draw_estimate(axis, position, block["spearman_rho"], block["spearman_interval"], color="black", linewidth=1)
    list_rows(axis, [words(name) for name in per_source])
    axis.set(xlim=(-1.02, 1.02), xticks=[-1, -0.5, 0, 0.5, 1])
    axis.set_xlabel("Spearman ρ with 95 % interval, and ceilings")
    handles = [
        estimate_handle("measured ρ", color="black", linewidth=1),
        plt.Line2D([], [], color=BLUE, linewidth=2.5, label="ceiling, questions"),
        plt.Line2D([], [], color=ORANGE, linewidth=2.5, label="ceiling, samples"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=7.5)
    return figure
