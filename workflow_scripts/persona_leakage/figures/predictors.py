"""The figure of the predictors: how well each ranks the bystanders, and how much better or worse than the cosine."""

from persona_leakage.figures.style import BLUE, GREY, ORANGE, plt, words


def plot_league(result):
    """Left: mean within-source correlation of each predictor with its interval, and each source's. Right: that less the cosine's.

    result: content of predictors.json.
    """
    names = result["order"] or []
    figure, axes = plt.subplots(1, 2, figsize=(7.4, 1.5 + 0.34 * max(3, len(names))), sharey=True, layout="constrained")
    if not names:
        figure.suptitle(f"Not computed: {result['undefined']}", fontsize=8, color=GREY, wrap=True)
    for place, name in enumerate(names):
        block = result["predictors"][name]
        colour = ORANGE if name == "cosine" else BLUE
        for values in block["per_source"].values():
            axes[0].plot(values["rho"], place, "|", color=GREY, markersize=7)
        draw(axes[0], place, block["mean_rho"], block["interval"], colour)
        if block["less_cosine"] is not None:
            draw(axes[1], place, block["less_cosine"], block["less_cosine_interval"], colour)
    for axis in axes:
        axis.axvline(0, color=GREY, linewidth=0.8)
    axes[0].set_yticks(range(len(names)), [title(name, result) for name in names])
    axes[0].set_ylim(len(names) - 0.5 if names else 1, -0.5)
    axes[0].set_xlim(-1.02, 1.02)
    axes[0].set_xlabel("mean of the sources' ρ with leakage")
    axes[1].set_xlabel("that less the cosine's")
    handles = [
        plt.Line2D([], [], color=ORANGE, marker="o", markersize=5, linewidth=1.2, label="cosine, 95 % interval"),
        plt.Line2D([], [], color=BLUE, marker="o", markersize=5, linewidth=1.2, label="another predictor"),
        plt.Line2D([], [], color=GREY, linestyle="", marker="|", markersize=7, label="each source"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=7.5)
    return figure


def draw(axis, place, value, interval, colour):
    """A dot with its interval, if it has one."""
    axis.plot(value, place, "o", color=colour, markersize=5)
    if interval:
        axis.plot(interval, [place, place], color=colour, linewidth=1.2)


def title(name, result):
    """A predictor's name; a star on what is only known once other sources are trained."""
    return words(name) + ("" if result["predictors"][name]["known_before_training"] else "*")
