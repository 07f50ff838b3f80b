"""The figure of several experiments: each run's mean correlation with its interval, by model and recipe."""

from itertools import groupby

from persona_leakage.figures.style import BLUE, GREY, plt, words
from persona_leakage.infrastructure.visible_text import visible_text


def plot_comparison(runs):
    """A line for each run, under a heading for each model and recipe. runs: of comparison.json, which sorts them."""
    headings = [list(group) for _, group in groupby(runs, key=lambda run: (run["model"], run["recipe"]))]
    height = len(runs) + len(headings)
    figure, axis = plt.subplots(figsize=(6.6, 1.2 + 0.27 * height), layout="constrained")
    place, ticks = 0, []
    for group in headings:
        heading = visible_text(f"{group[0]['model']}: {group[0]['recipe']}").replace("$", r"\$")
        axis.annotate(heading, (-1, place), va="center", fontsize=7.5, weight="bold")
        for run in group:
            place += 1
            ticks.append((place, words(f"{run['experiment']}, {run['questions']}, seed {run['training_seed']}")))
            draw_run(axis, place, run)
        place += 1
    axis.set_yticks([at for at, _ in ticks], [text for _, text in ticks], fontsize=8)
    axis.set_ylim(height - 0.4, -0.6)
    axis.set_xlim(-1.02, 1.02)
    axis.set_xlabel("Spearman ρ of cosine and leakage")
    handles = [
        plt.Line2D([], [], color=BLUE, marker="o", markersize=5, linewidth=1.2, label="mean of the sources, 95 % interval"),
        plt.Line2D([], [], color=GREY, linestyle="", marker="|", markersize=6, label="each source"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=7.5)
    return figure


def draw_run(axis, place, run):
    """The mean with its interval, the sources behind it, and the zero line, which leaves the headings alone."""
    axis.plot([0, 0], [place - 0.5, place + 0.5], color=GREY, linewidth=0.8, zorder=0)
    for block in run["per_source"].values():
        if block["rho"] is not None:
            axis.plot(block["rho"], place, "|", color=GREY, markersize=6)
    if run["mean_rho"] is None:
        axis.annotate("no mean", (0.98, place), ha="right", va="center", fontsize=7, color=GREY)
        return
    axis.plot(run["mean_rho"], place, "o", color=BLUE, markersize=5)
    if run["interval"]:
        axis.plot(run["interval"], [place, place], color=BLUE, linewidth=1.2)
