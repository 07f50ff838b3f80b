"""The correlation by layer and token position, with what permuted personas give when all choices are tested."""

from persona_leakage.figures.style import BLUE, GREY, ORANGE, panels, plt, words
from persona_leakage.infrastructure.files import read_json


def add_inputs(parser):
    parser.add_argument("--sweep", required=True, metavar="PATH", help="sweep.json")


def draw(args):
    """A panel for each token position: the sources' correlations and their mean by layer, its interval and the max-T band."""
    sweep = read_json(args.sweep, "correlate_sweep")
    if sweep["undefined"]:
        figure, axis = plt.subplots(figsize=(4.8, 1.2), layout="constrained")
        axis.set_axis_off()
        axis.annotate(f"not computed: {words(sweep['undefined'])}", (0.5, 0.5), ha="center", va="center", fontsize=7.5, wrap=True)
        return figure
    figure, axes = panels(len(sweep["positions"]), width=3.4, height=3.2, sharey=True)
    for axis, (position, block) in zip(axes, sweep["positions"].items(), strict=True):
        layers = [int(name) for name in block["layers"]]
        found = list(block["layers"].values())
        draw_band(
            axis,
            layers,
            [layer["chance"]["band"] for layer in found],
            GREY,
            "95 % of relabelled panels, all choices at once",
        )
        draw_band(axis, layers, [layer["within_source"]["interval"] for layer in found], BLUE, "95 % interval of the mean")
        for index, source in enumerate(sweep["sources"]):
            axis.plot(layers, [layer["per_source"][source] for layer in found], color=ORANGE, linewidth=0.6, alpha=0.7)
            if index == 0:
                axis.lines[-1].set_label("each source's ρ")
        means = [layer["within_source"]["mean_rho"] for layer in found]
        axis.plot(layers, means, ".-", color=BLUE, markersize=4, linewidth=1.4, label="mean of the sources' ρ")
        for choice, marker, label in (("headline", "*", "headline"), ("best", "o", "highest mean")):
            if sweep[choice]["position"] == position:
                index = layers.index(sweep[choice]["layer"])
                axis.plot(layers[index], means[index], marker, color="black", markersize=11, fillstyle="none", label=label)
        axis.axhline(0, color=GREY, linewidth=0.8)
        axis.set_title(words(position))
        axis.set_xlabel("output of block")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_ylim(-1.05, 1.05)
    axes[0].set_ylabel("correlation of cosine with leakage")
    labelled = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(labelled.values(), labelled.keys(), loc="outside lower center", ncols=min(len(axes), 3), fontsize=7.5)
    return figure


def draw_band(axis, layers, intervals, color, label):
    """Shade the intervals [low, high] of neighbouring layers; none where they are None."""
    low, high = ([float("nan") if interval is None else interval[side] for interval in intervals] for side in (0, 1))
    if len(layers) == 1:
        axis.errorbar(layers, low, yerr=[[0], [high[0] - low[0]]], color=color, alpha=0.4, linewidth=4, label=label)
    else:
        axis.fill_between(layers, low, high, color=color, alpha=0.2, linewidth=0, label=label)
