"""Mean correlations of several experiments with intervals, also given the base rate, and their leakage, by model, behaviour and recipe."""

from itertools import groupby

from persona_leakage.figures.marks import draw_estimate, estimate_handle, point_handle
from persona_leakage.figures.style import GREY, ORANGE, plt, words
from persona_leakage.infrastructure.files import read_json
from persona_leakage.infrastructure.visible_text import visible_text

GIVEN_BASE = "the same, given the base rate"
PARTIAL = {"color": ORANGE, "marker": "s", "markersize": 3.5}


def add_inputs(parser):
    parser.add_argument("--comparison", required=True, metavar="PATH", help="comparison.json")


def draw(args):
    """A line for each run, under a heading for each model, kind of behaviour and recipe, in the order of comparison.json."""
    runs = read_json(args.comparison, "compare_experiments")["runs"]
    headings = [list(group) for _, group in groupby(runs, key=lambda run: (run["model"], run["kind"], run["recipe"]))]
    height = len(runs) + len(headings)
    size = (8.6, 1.2 + 0.27 * height)
    figure, (axis, levels) = plt.subplots(1, 2, figsize=size, width_ratios=(3, 1), sharey=True, layout="constrained")
    position, ticks = 0, []
    for group in headings:
        heading = visible_text(f"{group[0]['model']}, {group[0]['kind']}: {group[0]['recipe']}").replace("$", r"\$")
        axis.annotate(heading, (-1, position), va="center", fontsize=min(7, 690 / len(heading)), weight="bold", in_layout=False)
        for run in group:
            position += 1
            ticks.append((position, words(f"{run['experiment']}, {run['questions']}, seed {run['training_seed']}")))
            draw_run(axis, position, run)
            draw_level(levels, position, run)
        position += 1
    axis.set_yticks([at for at, _ in ticks], [text for _, text in ticks], fontsize=8)
    axis.set_ylim(height - 0.4, -0.6)
    axis.set_xlim(-1.02, 1.02)
    axis.set_xlabel("Spearman ρ of cosine and leakage")
    levels.set_xlabel("mean leakage")
    levels.set_facecolor("none")  # the headings cross both panels
    levels.spines["left"].set_visible(False)
    levels.tick_params(left=False)
    handles = [
        estimate_handle("mean of the sources, 95 % interval"),
        *([estimate_handle(GIVEN_BASE, **PARTIAL)] if any(run["partial_rho"] is not None for run in runs) else []),
        point_handle("each source", GREY, "|", markersize=6),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=7.5)
    return figure


def draw_level(axis, position, run):
    """The mean leakage of a run, its sources, and the zero line."""
    axis.plot([0, 0], [position - 0.5, position + 0.5], color=GREY, linewidth=0.8, zorder=0)
    for block in run["per_source"].values():
        draw_estimate(axis, position, block["leakage"], None, color=GREY, marker="|", markersize=6)
    draw_estimate(axis, position, run["leakage"], None)


def draw_run(axis, position, run):
    """The mean with its interval, the sources behind it, and the zero line, which does not cross the headings."""
    axis.plot([0, 0], [position - 0.5, position + 0.5], color=GREY, linewidth=0.8, zorder=0)
    for block in run["per_source"].values():
        draw_estimate(axis, position, block["rho"], None, color=GREY, marker="|", markersize=6)
    if run["mean_rho"] is None:
        axis.annotate("no mean", (0.98, position), ha="right", va="center", fontsize=7, color=GREY)
    draw_estimate(axis, position, run["mean_rho"], run["interval"])
    draw_estimate(axis, position + 0.25, run["partial_rho"], run["partial_interval"], **PARTIAL)
