"""The mean correlation of several experiments with its interval, by model and recipe."""

from itertools import groupby

from persona_leakage.figures.marks import draw_estimate, estimate_handle, point_handle
from persona_leakage.figures.style import GREY, plt, words
from persona_leakage.infrastructure.files import read_json
from persona_leakage.infrastructure.visible_text import visible_text


def add_inputs(parser):
    parser.add_argument("--comparison", required=True, metavar="PATH", help="comparison.json")


def draw(args):
    """A line for each run, under a heading for each model and recipe, in the order of comparison.json."""
    runs = read_json(args.comparison, "compare_experiments")["runs"]
    headings = [list(group) for _, group in groupby(runs, key=lambda run: (run["model"], run["recipe"]))]
    height = len(runs) + len(headings)
    figure, axis = plt.subplots(figsize=(6.6, 1.2 + 0.27 * height), layout="constrained")
    position, ticks = 0, []
    for group in headings:
        heading = visible_text(f"{group[0]['model']}: {group[0]['recipe']}").replace("$", r"\$")
        axis.annotate(heading, (-1, position), va="center", fontsize=7.5, weight="bold")
        for run in group:
            position += 1
            ticks.append((position, words(f"{run['experiment']}, {run['questions']}, seed {run['training_seed']}")))
            draw_run(axis, position, run)
        position += 1
    axis.set_yticks([at for at, _ in ticks], [text for _, text in ticks], fontsize=8)
    axis.set_ylim(height - 0.4, -0.6)
    axis.set_xlim(-1.02, 1.02)
    axis.set_xlabel("Spearman ρ of cosine and leakage")
    handles = [
        estimate_handle("mean of the sources, 95 % interval"),
        point_handle("each source", GREY, "|", markersize=6),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=7.5)
    return figure


def draw_run(axis, position, run):
    """The mean with its interval, the sources behind it, and the zero line, which does not cross the headings."""
    axis.plot([0, 0], [position - 0.5, position + 0.5], color=GREY, linewidth=0.8, zorder=0)
    for block in run["per_source"].values():
        draw_estimate(axis, position, block["rho"], None, color=GREY, marker="|", markersize=6)
    if run["mean_rho"] is None:
        axis.annotate("no mean", (0.98, position), ha="right", va="center", fontsize=7, color=GREY)
    draw_estimate(axis, position, run["mean_rho"], run["interval"])
