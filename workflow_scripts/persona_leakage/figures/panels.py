"""Figures beside the panel: question sets, wordings, prompts without a persona."""

import textwrap

from matplotlib.ticker import MultipleLocator, PercentFormatter

from persona_leakage.figures.style import BLUE, COLUMNS, GREEN, GREY, ORANGE, PALETTE, panels, plt, words
from persona_leakage.statistics.comparisons.variance_components import PARTS

PART_COLOURS = dict(zip(PARTS, (BLUE, ORANGE, "#88CCEE", "#DDDDDD"), strict=True))
VARIANT_STYLES = {"no_system": (ORANGE, "o"), "empty_system": (GREEN, "s"), "template_default": (PALETTE[7], "^")}


def draw_estimate(axis, place, value, interval, **style):
    """A point with its interval at height ``place``; nothing where there is no value."""
    if value is not None:
        (line,) = axis.plot(value, place, **{"linestyle": "none", **style})
        if interval:
            axis.plot(interval, [place, place], color=line.get_color(), linewidth=1.3)


def list_rows(axis, titles):
    """One row for each title, the first on top."""
    axis.set_yticks(range(len(titles)), titles)
    axis.set_ylim(len(titles) - 0.5, -0.5)
    axis.axvline(0, color=GREY, linewidth=0.8)


def say_why(axis, reason):
    """The reason why there is nothing to draw, in the place of the drawing."""
    axis.set_axis_off()
    axis.text(0.5, 0.5, textwrap.fill(f"no comparison: {reason}", 40), ha="center", va="center", fontsize=8, color=GREY)


def draw_correlations(axis, rows):
    """Rows {title: {"per_source": {source: {"rho"}}, "mean": describe_mean}}: each source's rho as a dot, their mean with its interval."""
    list_rows(axis, list(rows))
    for place, block in enumerate(rows.values()):
        for source in block["per_source"].values():
            draw_estimate(axis, place + 0.18, source["rho"], None, color=ORANGE, marker=".", markersize=5, alpha=0.7)
        if block["mean"]:
            draw_estimate(axis, place, block["mean"]["mean_rho"], block["mean"]["interval"], color=BLUE, marker="o", markersize=5)
    axis.set_xlim(-1.02, 1.02)
    axis.set_xlabel("correlation of cosine with leakage")


def correlation_handles():
    """What the points of draw_correlations are."""
    dot = {"color": ORANGE, "marker": ".", "linestyle": "none"}
    return [
        plt.Line2D([], [], color=BLUE, marker="o", markersize=5, linewidth=1.3, label="mean ρ with 95 % interval"),
        plt.Line2D([], [], label="each source's ρ", **dot),
    ]


def plot_question_sets(result):
    """Each set's correlation, and how much less it is than the first set's. result: question_sets.json."""
    sets, drops = result["sets"], result["drops"]
    figure, axes = plt.subplots(1, 2, figsize=(7.4, 1.5 + 0.5 * len(sets)), layout="constrained")
    draw_correlations(axes[0], {words(name): block for name, block in sets.items()})
    if result["undefined"]:
        say_why(axes[1], result["undefined"])
        return figure
    list_rows(axes[1], [words(name) for name in drops])
    kinds = (
        ("own_cosines", BLUE, "o", -0.12, "cosines from the set's own questions"),
        ("first_cosines", GREEN, "s", 0.12, "cosines from the first set"),
    )
    for kind, colour, marker, shift, _ in kinds:
        for place, block in enumerate(drops.values()):
            mean = block[kind]["mean"]
            draw_estimate(axes[1], place + shift, mean["drop"], mean["interval"], color=colour, marker=marker, markersize=5)
    axes[1].set_xlabel(f"drop of the mean ρ against {words(result['first'])}")
    axes[1].margins(x=0.15)
    marks = [plt.Line2D([], [], color=colour, marker=marker, markersize=5, label=label) for _, colour, marker, _, label in kinds]
    figure.legend(handles=[*correlation_handles(), *marks], loc="outside lower center", ncols=2, fontsize=7.5)
    return figure


def plot_wordings(result):
    """Correlations within and across wordings and over role means; shares of role and wording in the spread. result: wordings.json."""
    if result["undefined"]:
        figure, axis = plt.subplots(figsize=(4, 2))
        say_why(axis, result["undefined"])
        return figure
    rows = {"all pairs": result["all_pairs"]}
    for key in ("same_wording", "other_wording"):
        if key in result:
            rows[f"{words(key)} than the source's" if key == "other_wording" else f"{words(key)} as the source's"] = result[key]
    rows |= {f"within wording '{words(name)}'": block for name, block in result["within_each"].items()}
    if "role_means" in result:
        rows["roles, averaged over wordings"] = result["role_means"]
    spread = [
        (f"{what}, {words(name)}", block)
        for what in ("cosine", "leakage")
        for name, block in {**result["parts"][what]["per_series"], "mean": result["parts"][what]["mean"]}.items()
    ]
    figure, axes = plt.subplots(1, 2, figsize=(8.6, 1.3 + 0.3 * max(len(rows), len(spread))), layout="constrained")
    draw_correlations(axes[0], rows)
    list_rows(axes[1], [title for title, _ in spread])
    for place, (_, block) in enumerate(spread):
        left = 0.0
        for name, share in (block["shares"] or {}).items():
            axes[1].barh(place, share or 0, left=left, color=PART_COLOURS[name], height=0.75)
            left += share or 0
    axes[1].set_xlim(0, 1)
    axes[1].xaxis.set_major_formatter(PercentFormatter(1))
    axes[1].set_xlabel("share of the variance over personas")
    bars = [plt.Rectangle((0, 0), 1, 1, color=colour, label=words(name)) for name, colour in PART_COLOURS.items()]
    figure.legend(handles=[*correlation_handles(), *bars], loc="outside lower center", ncols=6, fontsize=7.5)
    return figure


def plot_variants(result, table):
    """Leakage against cosine as in the scatter, the bystanders in grey, the prompts without a persona in colour.

    result: variants.json; table: the pairs of its headline layer.
    """
    figure, axes = panels(len(result["sources"]), sharey=True)
    for place, (axis, (source, cells)) in enumerate(zip(axes, result["sources"].items(), strict=True)):
        rows = table[table["source"] == source]
        axis.scatter(rows["cosine"], rows["rate"], s=12, c=GREY, alpha=0.5, linewidths=0, label="bystander")
        axis.scatter([1], rows["source_rate"].iloc[:1], s=60, c="black", marker="*", label="the source itself", clip_on=False, zorder=3)
        for variant, cell in cells.items():
            colour, marker = VARIANT_STYLES[variant]
            axis.vlines(cell["cosine"], *cell["interval"], color=colour, linewidth=1.2)
            axis.scatter([cell["cosine"]], [cell["rate"]], s=30, c=colour, marker=marker, label=words(variant), zorder=4)
        axis.xaxis.set_major_locator(MultipleLocator(0.5))
        axis.set_ylim(-0.05, 1.1)
        axis.set_title(words(source))
        if place % COLUMNS == 0:
            axis.set_ylabel("leakage (share of replies)")
    figure.supxlabel(f"cosine to the source, centred on the panel (output of block {result['headline_layer']}, base model)", fontsize=9)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, fontsize=7.5, handletextpad=0.3)
    return figure
