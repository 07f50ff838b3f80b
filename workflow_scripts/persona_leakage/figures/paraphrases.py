"""Correlations within and across paraphrases, and the shares of role and paraphrase in the variance."""

from matplotlib.ticker import PercentFormatter

from persona_leakage.figures.marks import correlation_handles, draw_correlations, list_rows, say_why
from persona_leakage.figures.style import BLUE, ORANGE, plt, words
from persona_leakage.infrastructure.files import read_json
from persona_leakage.statistics.comparisons.variance_components import PARTS

PART_COLORS = dict(zip(PARTS, (BLUE, ORANGE, "#88CCEE", "#DDDDDD"), strict=True))


def add_inputs(parser):
    parser.add_argument("--paraphrases", required=True, metavar="PATH", help="paraphrases.json")


def draw(args):
    """Left: correlations within and across paraphrases and over role means. Right: shares of role and paraphrase in the variance."""
    result = read_json(args.paraphrases, "compare_paraphrases")
    if result["undefined"]:
        figure, axis = plt.subplots(figsize=(4, 2))
        say_why(axis, result["undefined"])
        return figure
    rows = {"all pairs": result["all_pairs"]}
    for key in ("same_paraphrase", "other_paraphrase"):
        if key in result:
            rows[f"{words(key)} than the source's" if key == "other_paraphrase" else f"{words(key)} as the source's"] = result[key]
    rows |= {f"within paraphrase '{words(name)}'": block for name, block in result["within_each"].items()}
    if "role_means" in result:
        rows["roles, averaged over paraphrases"] = result["role_means"]
    spread = [
        (f"{what}, {words(name)}", block)
        for what in ("cosine", "leakage")
        for name, block in {**result["parts"][what]["per_series"], "mean": result["parts"][what]["mean"]}.items()
    ]
    figure, axes = plt.subplots(1, 2, figsize=(8.6, 1.3 + 0.3 * max(len(rows), len(spread))), layout="constrained")
    draw_correlations(axes[0], rows)
    list_rows(axes[1], [title for title, _ in spread])
    for position, (_, block) in enumerate(spread):
        left = 0.0
        for name, share in (block["shares"] or {}).items():
            axes[1].barh(position, share or 0, left=left, color=PART_COLORS[name], height=0.75)
            left += share or 0
    axes[1].set_xlim(0, 1)
    axes[1].xaxis.set_major_formatter(PercentFormatter(1))
    axes[1].set_xlabel("share of the variance over personas")
    bars = [plt.Rectangle((0, 0), 1, 1, color=color, label=words(name)) for name, color in PART_COLORS.items()]
    figure.legend(handles=[*correlation_handles(), *bars], loc="outside lower center", ncols=6, fontsize=7.5)
    return figure
