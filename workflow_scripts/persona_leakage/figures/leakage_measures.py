"""Figures of the finer questions: the geometry of the adapted models, and measures of leakage beside the sampled rate."""

from matplotlib.ticker import PercentFormatter

from persona_leakage.figures.style import BLUE, GREEN, GREY, ORANGE, panels, plt, words

MEASURE_STYLES = {
    "sampled": (BLUE, "sampled rate"),
    "tokens": (GREY, "sampled, trained tokens"),
    "end": (ORANGE, "teacher-forced, at the end"),
    "anywhere": (GREEN, "teacher-forced, anywhere"),
}


def number(value):
    """A correlation as it stands in a title."""
    return "undefined" if value is None else f"{value:.2f}"


def plot_adapted_geometry(table, result):
    """Correlation by layer from base and adapted states; then a panel per source: leakage against movement towards the source.

    table, result: adapted_geometry.csv and .json; the panels show the headline layer.
    """
    layer = str(result["headline_layer"])
    sources = list(result["layers"][layer]["per_source"])
    figure, axes = panels(1 + len(sources))
    for state, colour, shift in (("base", BLUE, -0.15), ("adapted", ORANGE, 0.15)):
        for place, block in enumerate(result["layers"].values()):
            for mark, source in zip("osD^v" * len(sources), sources, strict=False):
                found = block["per_source"][source][state]["rho"]
                if found is not None:
                    axes[0].plot(place + shift, found, mark, color=colour, markersize=3, alpha=0.5)
            joint = block["joint"][state]
            if joint and joint["interval"]:
                axes[0].plot([place + shift] * 2, joint["interval"], color=colour, linewidth=1.2)
            if joint:
                axes[0].plot(place + shift, joint["mean_rho"], "_", color=colour, markersize=12, markeredgewidth=2)
    axes[0].axhline(0, color=GREY, linewidth=0.8)
    axes[0].set_xticks(range(len(result["layers"])), [f"{name}*" if name == layer else name for name in result["layers"]])
    axes[0].set_ylim(-1.05, 1.05)
    axes[0].set_xlabel("output of block (*: headline)")
    axes[0].set_ylabel("Spearman ρ of cosine with leakage")
    rows = table[table["layer"] == int(layer)]
    joint = result["layers"][layer]["joint"]["movement"]
    for axis, source in zip(axes[1:], sources, strict=True):
        pairs = rows[rows["source"] == source]
        axis.plot(100 * pairs["towards_beyond_panel"], pairs["rate"], "o", color=BLUE, markersize=4, alpha=0.7)
        axis.axvline(0, color=GREY, linewidth=0.8)
        moved = joint and (joint["towards_beyond_panel"]["per_source"] or {}).get(source)
        axis.set_title(f"{words(source)}: ρ = {number(moved)}")
        axis.yaxis.set_major_formatter(PercentFormatter(1))
        axis.set_xlabel("moved towards the source, % of the way")
        axis.set_ylabel("leakage")
    handles = [
        plt.Line2D([], [], color=BLUE, marker="_", markersize=10, markeredgewidth=2, label="base states: mean, 95 % interval"),
        plt.Line2D([], [], color=ORANGE, marker="_", markersize=10, markeredgewidth=2, label="adapted states: the same"),
        plt.Line2D([], [], color=GREY, marker="o", markersize=3, linestyle="", label="(small) each source"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=7.5)
    return figure


def plot_measures(table, result):
    """Reliability and correlation of cosine by measure and source; then a panel per source: teacher-forced against sampled.

    table, result: measures.csv and .json.
    """
    sources = list(result["per_source"])
    figure, axes = panels(2 + len(sources))
    for place, measure in enumerate(result["measures"]):
        colour = MEASURE_STYLES[measure][0]
        offset = 0.18 * (place - (len(result["measures"]) - 1) / 2)
        for row, source in enumerate(sources):
            block = result["per_source"][source][measure]
            if block["reliability"]["reliability"] is not None:
                axes[0].plot(block["reliability"]["reliability"], row + offset, "o", color=colour, markersize=5)
            if block["cosine"]["interval"]:
                axes[1].plot(block["cosine"]["interval"], [row + offset] * 2, color=colour, linewidth=1.2)
            if block["cosine"]["rho"] is not None:
                axes[1].plot(block["cosine"]["rho"], row + offset, "o", color=colour, markersize=5)
    for axis, label, limits in (
        (axes[0], "split-half reliability", (-0.02, 1.02)),
        (axes[1], "Spearman ρ with cosine, 95 % interval", (-1.02, 1.02)),
    ):
        axis.set_yticks(range(len(sources)), [words(source) for source in sources])
        axis.set_ylim(len(sources) - 0.5, -0.5)
        axis.set_xlim(*limits)
        axis.set_xlabel(label)
    axes[1].axvline(0, color=GREY, linewidth=0.8)
    for axis, source in zip(axes[2:], sources, strict=True):
        pairs = table[table["source"] == source]
        axis.plot(pairs["sampled"], pairs["end"], "o", color=ORANGE, markersize=4, alpha=0.7)
        axis.set_title(f"{words(source)}: ρ = {number(result['per_source'][source]['end']['agreement']['rho'])}")
        axis.xaxis.set_major_formatter(PercentFormatter(1))
        axis.set_xlabel("leakage, sampled")
        axis.set_ylabel("gain of the marker at the end, nats")
    handles = [plt.Line2D([], [], color=colour, marker="o", markersize=5, label=label) for colour, label in MEASURE_STYLES.values()]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=7.5)
    return figure
