"""The loss of each adapter's training."""

import numpy as np

from persona_leakage.figures.style import GREY, PALETTE, plt, words
from persona_leakage.infrastructure.files import read_json

LINES = ("-", "--", ":", "-.")  # of the seeds


def add_inputs(parser):
    parser.add_argument("--metrics", nargs="+", required=True, metavar="PATH", help="metrics.json of each source and seed")


def draw(args):
    """Loss of every optimizer step, and its running mean over a twentieth of them."""
    runs = [read_json(path, "train_adapter") for path in args.metrics]
    curves = {(run["meta"]["source"], run["meta"]["seed"]): run["loss"] for run in runs}
    figure, axis = plt.subplots(figsize=(6.6, 3.2), layout="constrained")
    sources, seeds = (list(dict.fromkeys(names)) for names in zip(*curves, strict=True))
    named = len(sources) <= len(PALETTE)  # more lines than colours cannot be distinguished
    colors = {source: PALETTE[index] if named else GREY for index, source in enumerate(sources)}
    lines = {seed: LINES[index % len(LINES)] for index, seed in enumerate(seeds)}
    for (source, seed), losses in curves.items():
        steps, width = np.arange(1, len(losses) + 1), max(1, len(losses) // 20)
        smooth = np.convolve(losses, np.full(width, 1 / width), mode="valid")
        axis.plot(steps, losses, color=colors[source], linewidth=0.4, alpha=0.35)
        axis.plot(steps[width - 1 :], smooth, lines[seed], color=colors[source], linewidth=1.4 if named else 0.7)
    axis.set_yscale("log")
    axis.set_xlabel("optimizer step")
    axis.set_ylabel("loss (mean over trained tokens, log scale)")
    labels = {words(source): color for source, color in colors.items()} if named else {f"each of {len(sources)} sources": GREY}
    handles = [plt.Line2D([], [], color=color, linewidth=1.4, label=label) for label, color in labels.items()]
    if len(seeds) > 1:
        handles += [plt.Line2D([], [], color="black", linestyle=line, linewidth=1.4, label=f"seed {seed}") for seed, line in lines.items()]
    figure.legend(handles=handles, loc="outside right upper", fontsize=7.5)
    return figure
