"""The correlation by layer, with intervals and what relabelled personas give."""

import numpy as np

from persona_leakage.figures.style import BLUE, GREEN, GREY, ORANGE, plt
from persona_leakage.infrastructure.files import read_json


def add_inputs(parser):
    parser.add_argument("--correlation", required=True, metavar="PATH", help="correlation.json")


def draw(args):
    """Mean within-source correlation and double-centred correlation by layer, with intervals and the band of relabelled personas."""
    result = read_json(args.correlation, "correlate_leakage")
    layers, headline = result["layers"], result["headline_layer"]
    figure, axis = plt.subplots(figsize=(4.8, 3.4), layout="constrained")
    numbers = [int(name) for name in layers]
    chance = [layer["chance"]["association"] for layer in layers.values()]
    if not any(test["undefined"] for test in chance):
        low, high = ([test["null_mean"] + sign * 1.96 * test["null_sd"] for test in chance] for sign in (-1, 1))
        axis.fill_between(numbers, low, high, color=GREY, alpha=0.25, linewidth=0, label="95 % of relabelled personas, mean ρ")
    for key, value, color, shift, label in (
        ("within_source", "mean_rho", BLUE, -0.12, "mean of the sources' ρ"),
        ("double_centred", "r", GREEN, 0.12, "double-centred r"),
    ):
        known = [(int(name) + shift, layer[key]) for name, layer in layers.items() if layer[key][value] is not None]
        axis.plot([x for x, _ in known], [block[value] for _, block in known], "o-", color=color, markersize=5, linewidth=1.2, label=label)
        for x, block in known:
            if block["interval"]:
                axis.plot([x, x], block["interval"], color=color, linewidth=1.5)
    for index, source in enumerate(dict.fromkeys(name for layer in layers.values() for name in layer["per_source"])):
        values = [layer["per_source"].get(source, {"spearman_rho": None})["spearman_rho"] for layer in layers.values()]
        axis.plot(
            numbers, [np.nan if value is None else value for value in values], ".-", color=ORANGE, markersize=4, linewidth=0.6, alpha=0.6
        )
        if index == 0:
            axis.lines[-1].set_label("each source's ρ")
    axis.axhline(0, color=GREY, linewidth=0.8)
    axis.set_xticks(numbers, [f"{number}*" if number == headline else str(number) for number in numbers])
    axis.set_xlabel("output of block (*: headline)")
    axis.set_ylabel("correlation of cosine with leakage")
    axis.set_ylim(-1.05, 1.05)
    figure.legend(loc="outside lower center", ncols=2, fontsize=7.5)
    return figure
