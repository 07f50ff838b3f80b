"""The prompts without a persona among the bystanders, one panel for each source."""

from matplotlib.ticker import MultipleLocator

from persona_leakage.figures.marks import label_cosine, rate_label
from persona_leakage.figures.style import COLUMNS, GREEN, GREY, ORANGE, panels, words
from persona_leakage.infrastructure.files import read_json
from persona_leakage.tables.read import add_pairs, read_checked_pairs

PROMPT_STYLES = {"no_system": (ORANGE, "o"), "empty_system": (GREEN, "s")}


def add_inputs(parser):
    add_pairs(parser)
    parser.add_argument("--no-persona-prompts", required=True, metavar="PATH", help="no_persona_prompts.json")


def draw(args):
    """Leakage against cosine at the headline layer, the bystanders in gray, the prompts without a persona in color."""
    table, result = read_checked_pairs(args), read_json(args.no_persona_prompts, "compare_no_persona_prompts")
    table = table[table["layer"] == result["headline_layer"]]
    figure, axes = panels(len(result["sources"]), sharey=True)
    for position, (axis, (source, cells)) in enumerate(zip(axes, result["sources"].items(), strict=True)):
        rows = table[table["source"] == source]
        axis.scatter(rows["cosine"], rows["rate"], s=12, c=GREY, alpha=0.5, linewidths=0, label="bystander")
        axis.scatter([1], rows["source_rate"].iloc[:1], s=60, c="black", marker="*", label="the source itself", clip_on=False, zorder=3)
        for variant, cell in cells.items():
            color, marker = PROMPT_STYLES[variant]
            axis.vlines(cell["cosine"], *cell["interval"], color=color, linewidth=1.2)
            axis.scatter([cell["cosine"]], [cell["rate"]], s=30, c=color, marker=marker, label=words(variant), zorder=4)
        axis.xaxis.set_major_locator(MultipleLocator(0.5))
        axis.set_ylim(-0.05, 1.1)
        axis.set_title(words(source))
        if position % COLUMNS == 0:
            axis.set_ylabel(rate_label(table))
    label_cosine(figure, result["headline_layer"])
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, fontsize=7.5, handletextpad=0.3)
    return figure
