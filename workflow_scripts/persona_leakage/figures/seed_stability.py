"""The correlations of several training seeds, and how far their leakage agrees."""

from persona_leakage.figures.marks import draw_bar, draw_estimate, estimate_handle, point_handle
from persona_leakage.figures.style import BLUE, GREY, MARKERS, ORANGE, PALETTE, plt, words
from persona_leakage.infrastructure.files import read_json


def add_inputs(parser):
    parser.add_argument("--seeds", required=True, metavar="PATH", help="seeds.json")


def draw(args):
    """Left: Spearman's rho of each source and run. Right: agreement of the leakage between trainings, and what sampling allows."""
    result = read_json(args.seeds, "compare_seeds")
    names, sources = list(result["spearman_rho"]), list(result["leakage"]["per_source"])
    figure, axes = plt.subplots(1, 2, figsize=(8.2, 1.7 + 0.42 * len(names)), layout="constrained")
    draw_runs(axes[0], result, names)
    draw_agreement(axes[1], result["leakage"]["per_source"], names)
    for axis in axes:
        axis.axvline(0, color=GREY, linewidth=0.8)
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.set_xlim(-1.02, 1.02)
    axes[0].set_yticks(range(len(names)), [words(name) for name in names])
    axes[1].set_yticks([names.index(name) for name in sources], [words(name) for name in sources])
    return figure


def draw_runs(axis, result, names):
    """A point for each run, the mean as a bar, and the spread that sampling alone would give as a band around it."""
    for position, name in enumerate(names):
        block = result["spearman_rho"][name]
        for run, value in enumerate(block["values"]):
            draw_estimate(axis, position, value, None, **run_style(run), alpha=0.85)
        if block["mean"] is None:
            axis.annotate("a run lacks a correlation", (-0.98, position), va="center", fontsize=7, color=GREY)
            continue
        draw_bar(axis, block["mean"], position - 0.22, position + 0.22, "black", linewidth=1.2)
        if block["sampling"] is not None:
            band = (block["mean"] - 1.96 * block["sampling"], block["mean"] + 1.96 * block["sampling"])
            axis.fill_betweenx([position - 0.22, position + 0.22], *band, color=GREY, alpha=0.25, linewidth=0)
    axis.set_xlabel("Spearman ρ of cosine and leakage")
    handles = [point_handle(label(result, run), **run_style(run), markersize=None) for run in range(len(result["runs"]))]
    handles += [plt.Line2D([], [], color="black", linewidth=1.2, label="mean")]
    handles += [plt.Rectangle((0, 0), 1, 1, color=GREY, alpha=0.25, linewidth=0, label="95 % of sampling alone")]
    add_legend(axis, handles)


def run_style(run):
    """Color and shape of the run with this index."""
    return {"color": PALETTE[run % len(PALETTE)], "marker": MARKERS[run % len(MARKERS)]}


def label(result, run):
    """The name of a run: its training seed."""
    return f"seed {result['runs'][run]['training_seed']}"


def draw_agreement(axis, per_source, names):
    """Rank correlations of the profiles of two trainings with their ceiling; the intraclass correlation of the rates below."""
    for source, block in per_source.items():
        position = names.index(source)
        if block["profiles"]["undefined"]:
            axis.annotate("too few bystanders leak", (-0.98, position), va="center", fontsize=7, color=GREY)
            continue
        for pair in block["profiles"]["pairs"]:
            draw_estimate(axis, position - 0.14, pair["rho"], None, alpha=0.8)
            draw_bar(axis, pair["ceiling"], position - 0.28, position, BLUE)
        agreement = block["intraclass"]
        if agreement["undefined"]:
            continue
        interval = agreement["agreement_interval"]
        draw_estimate(axis, position + 0.16, agreement["agreement"], interval, color=ORANGE, marker="D", markersize=4.5, linewidth=1)
        draw_bar(axis, block["spread"]["agreement_if_only_sampling"], position + 0.04, position + 0.28, ORANGE)
    axis.set_xlabel("leakage of two trainings of a source")
    handles = [
        point_handle("rank correlation", BLUE, "o"),
        plt.Line2D([], [], color=BLUE, linewidth=2, label="its ceiling"),
        estimate_handle("intraclass correlation", color=ORANGE, marker="D", markersize=4.5, linewidth=1),
        plt.Line2D([], [], color=ORANGE, linewidth=2, label="with sampling alone"),
    ]
    add_legend(axis, handles)


def add_legend(axis, handles):
    """Below the axis and its label, whatever the figure's height."""
    axis.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.67 / axis.figure.get_figheight()), ncols=2, fontsize=7.5)
