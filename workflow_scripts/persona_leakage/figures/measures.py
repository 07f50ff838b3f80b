"""Teacher-forced measures of leakage against the sampled rate: reliability, correlation with the cosine, agreement."""

import pandas as pd
from matplotlib.ticker import PercentFormatter

from persona_leakage.figures.marks import draw_estimate, estimate_handle, number
from persona_leakage.figures.style import BLUE, GREEN, GREY, ORANGE, panels, words
from persona_leakage.infrastructure.files import check_digest, read_json

MEASURE_STYLES = {
    "sampled": (BLUE, "sampled rate"),
    "tokens": (GREY, "sampled, trained tokens"),
    "end": (ORANGE, "teacher-forced, at the end"),
    "anywhere": (GREEN, "teacher-forced, anywhere"),
}


def add_inputs(parser):
    parser.add_argument("--table", required=True, metavar="PATH", help="measures.csv")
    parser.add_argument("--result", required=True, metavar="PATH", help="measures.json")


def draw(args):
    """Reliability and correlation of cosine by measure and source; then a panel per source: teacher-forced against sampled."""
    result = read_json(args.result, "compare_measures")
    check_digest(args.table, result["meta"]["table_sha256"], args.result)
    table = pd.read_csv(args.table)
    sources = list(result["per_source"])
    figure, axes = panels(2 + len(sources))
    for index, measure in enumerate(result["measures"]):
        color = MEASURE_STYLES[measure][0]
        offset = 0.18 * (index - (len(result["measures"]) - 1) / 2)
        for row, source in enumerate(sources):
            block = result["per_source"][source][measure]
            draw_estimate(axes[0], row + offset, block["reliability"]["reliability"], None, color=color)
            draw_estimate(axes[1], row + offset, block["cosine"]["rho"], block["cosine"]["interval"], color=color)
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
        axis.set_ylabel("gain at the end of the reply, nats")
    handles = [estimate_handle(label, color=color, linewidth=None) for color, label in MEASURE_STYLES.values()]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=7.5)
    return figure
