"""How well each predictor ranks the bystanders by leakage, and how much better or worse than the cosine."""

from persona_leakage.figures.marks import draw_estimate, estimate_handle, point_handle
from persona_leakage.figures.style import BLUE, GREY, ORANGE, plt, words
from persona_leakage.infrastructure.files import read_json


def add_inputs(parser):
    parser.add_argument("--predictors", required=True, metavar="PATH", help="predictors.json")


def draw(args):
    """Left: mean within-source correlation of each predictor with its interval, and each source's. Right: that minus the cosine's."""
    result = read_json(args.predictors, "compare_predictors")
    names = result["order"] or []
    figure, axes = plt.subplots(1, 2, figsize=(7.4, 1.5 + 0.34 * max(3, len(names))), sharey=True, layout="constrained")
    if not names:
        figure.suptitle(f"Not computed: {result['undefined']}", fontsize=8, color=GREY, wrap=True)
    for position, name in enumerate(names):
        block = result["predictors"][name]
        color = ORANGE if name == "cosine" else BLUE
        for values in block["per_source"].values():
            draw_estimate(axes[0], position, values["rho"], None, color=GREY, marker="|", markersize=7)
        draw_estimate(axes[0], position, block["mean_rho"], block["interval"], color=color)
        draw_estimate(axes[1], position, block["less_cosine"], block["less_cosine_interval"], color=color)
    for axis in axes:
        axis.axvline(0, color=GREY, linewidth=0.8)
    axes[0].set_yticks(range(len(names)), [title(name, result) for name in names])
    axes[0].set_ylim(len(names) - 0.5 if names else 1, -0.5)
    axes[0].set_xlim(-1.02, 1.02)
    axes[0].set_xlabel("mean of the sources' ρ with leakage")
    axes[1].set_xlabel("difference from the cosine's")
    handles = [
        estimate_handle("cosine, 95 % interval", color=ORANGE),
        estimate_handle("another predictor"),
        point_handle("each source", GREY, "|", markersize=7),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=7.5)
    return figure


def title(name, result):
    """A predictor's name; a star on what is only known once other sources are trained."""
    return words(name) + ("" if result["predictors"][name]["known_before_training"] else "*")
