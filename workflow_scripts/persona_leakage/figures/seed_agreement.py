"""The figure of several training seeds: correlations seed by seed, and how far leakage itself comes back."""

from persona_leakage.figures.style import BLUE, GREY, MARKERS, ORANGE, PALETTE, plt, words


def plot_seed_stability(result):
    """Left: Spearman's rho of each source and run. Right: agreement of the leakage profiles between trainings, and what sampling allows.

    result: content of seeds.json.
    """
    names, sources = list(result["spearman_rho"]), list(result["leakage"]["per_source"])
    figure, axes = plt.subplots(1, 2, figsize=(8.2, 1.7 + 0.42 * len(names)), layout="constrained")
    draw_correlations(axes[0], result, names)
    draw_agreement(axes[1], result["leakage"]["per_source"], names)
    for axis in axes:
        axis.axvline(0, color=GREY, linewidth=0.8)
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.set_xlim(-1.02, 1.02)
    axes[0].set_yticks(range(len(names)), [words(name) for name in names])
    axes[1].set_yticks([names.index(name) for name in sources], [words(name) for name in sources])
    return figure


def draw_correlations(axis, result, names):
    """A marker for each run, the mean as a bar, and the spread that sampling alone would give as a band around it."""
    for place, name in enumerate(names):
        block = result["spearman_rho"][name]
        for run, value in enumerate(block["values"]):
            if value is not None:
                axis.plot(value, place, MARKERS[run % len(MARKERS)], color=PALETTE[run % len(PALETTE)], markersize=5, alpha=0.85)
        if block["mean"] is None:
            axis.annotate("a run lacks a correlation", (-0.98, place), va="center", fontsize=7, color=GREY)
            continue
        axis.plot([block["mean"]] * 2, [place - 0.22, place + 0.22], color="black", linewidth=1.2)
        if block["sampling"] is not None:
            band = (block["mean"] - 1.96 * block["sampling"], block["mean"] + 1.96 * block["sampling"])
            axis.fill_betweenx([place - 0.22, place + 0.22], *band, color=GREY, alpha=0.25, linewidth=0)
    axis.set_xlabel("Spearman ρ of cosine and leakage")
    handles = [
        plt.Line2D([], [], linestyle="", marker=MARKERS[run % len(MARKERS)], color=PALETTE[run % len(PALETTE)], label=label(result, run))
        for run in range(len(result["runs"]))
    ]
    handles += [plt.Line2D([], [], color="black", linewidth=1.2, label="mean")]
    handles += [plt.Rectangle((0, 0), 1, 1, color=GREY, alpha=0.25, linewidth=0, label="95 % of sampling alone")]
    add_legend(axis, handles)


def label(result, run):
    """How a run is called: its training seed, and its sampling seed if they differ among the runs."""
    seeds = result["runs"][run]
    several = len({each["sampling_seed"] for each in result["runs"]}) > 1
    return f"seed {seeds['training_seed']}" + (f", sampling {seeds['sampling_seed']}" if several else "")


def draw_agreement(axis, per_source, names):
    """Rank correlations of the profiles of two trainings beside their ceiling; the intraclass correlation of the rates below."""
    for source, block in per_source.items():
        place = names.index(source)
        if block["profiles"]["undefined"]:
            axis.annotate("too few bystanders leak", (-0.98, place), va="center", fontsize=7, color=GREY)
            continue
        for pair in block["profiles"]["pairs"]:
            axis.plot(pair["rho"], place - 0.14, "o", color=BLUE, markersize=5, alpha=0.8)
            if pair["ceiling"] is not None:
                axis.plot([pair["ceiling"]] * 2, [place - 0.28, place], color=BLUE, linewidth=2)
        agreement = block["intraclass"]
        if agreement["undefined"]:
            continue
        axis.plot(agreement["agreement"], place + 0.16, "D", color=ORANGE, markersize=4.5)
        if agreement["agreement_interval"]:
            axis.plot(agreement["agreement_interval"], [place + 0.16] * 2, color=ORANGE, linewidth=1)
        if block["spread"]["agreement_if_only_sampling"] is not None:
            axis.plot([block["spread"]["agreement_if_only_sampling"]] * 2, [place + 0.04, place + 0.28], color=ORANGE, linewidth=2)
    axis.set_xlabel("leakage of two trainings of a source")
    handles = [
        plt.Line2D([], [], linestyle="", marker="o", color=BLUE, markersize=5, label="rank correlation"),
        plt.Line2D([], [], color=BLUE, linewidth=2, label="its ceiling"),
        plt.Line2D([], [], marker="D", color=ORANGE, markersize=4.5, linewidth=1, label="intraclass correlation"),
        plt.Line2D([], [], color=ORANGE, linewidth=2, label="with sampling alone"),
    ]
    add_legend(axis, handles)


def add_legend(axis, handles):
    """Below the axis and its label, whatever the figure's height."""
    axis.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.67 / axis.figure.get_figheight()), ncols=2, fontsize=7.5)
