"""The main correlation under other choices, a line for each check."""

from persona_leakage.figures.marks import draw_estimate, estimate_handle
from persona_leakage.figures.style import BLUE, GREEN, GREY, ORANGE, plt, words
from persona_leakage.infrastructure.files import read_json

ROW, GAP = 1.0, 0.5  # heights of a line and of the gap between two groups, in lines
COLORS = {"rho": BLUE, "r": GREEN, "AUC": GREEN}
LIMITS = {"AUC": ((0, 1), (0, 0.5, 1))}
WIDEST = ((-1, 1), (-1, -0.5, 0, 0.5, 1))


def add_inputs(parser):
    parser.add_argument("--robustness", required=True, metavar="PATH", help="robustness.json")


def draw(args):
    """Above: checks on the scale of a correlation; the line and the band are the main analysis. Below: the AUC on its own scale."""
    result = read_json(args.robustness, "check_robustness")
    above = [check for check in result["checks"] if check["scale"] != "AUC"]
    below = [check for check in result["checks"] if check["scale"] == "AUC"]
    lines = [heights_of(checks) for checks in (above, below)]
    heights = [each[-1] + 2 * ROW for each in lines]
    figure, axes = plt.subplots(2, 1, figsize=(7.2, 1.1 + 0.165 * sum(heights)), height_ratios=heights, layout="constrained", squeeze=True)
    if result["undefined"]:
        figure.suptitle(f"Not computed: {words(result['undefined'])}", fontsize=8, color=GREY, wrap=True)
    main = result["checks"][0]
    if main["estimate"] is not None:
        axes[0].axvline(main["estimate"], color=ORANGE, linewidth=0.9)
        if main["interval"]:
            axes[0].axvspan(*main["interval"], color=ORANGE, alpha=0.12, linewidth=0)
    for axis, checks, own in zip(axes, (above, below), lines, strict=True):
        draw_checks(axis, checks, own)
    axes[0].set_xlabel("mean of the sources' ρ, or r, at the headline layer")
    axes[1].set_xlabel("AUC (0.5: no relation)")
    handles = [
        estimate_handle("main analysis, 95 % interval", color=ORANGE, markersize=4),
        estimate_handle("a check, Spearman's ρ", markersize=4),
        estimate_handle("another statistic", color=GREEN, marker="s", markersize=4),
    ]
    if any(check["range"] for check in result["checks"]):
        handles.append(plt.Line2D([], [], color=GREY, linewidth=2.5, label=f"range over {result['halves']} halves"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=7)
    return figure


def heights_of(checks):
    """Heights of the checks, downwards, with a gap between groups."""
    lines, height = [], 0.0
    for before, check in zip([None, *checks], checks, strict=False):
        if before is not None:
            height += ROW + (GAP if before["group"] != check["group"] else 0)
        lines.append(height)
    return lines


def draw_checks(axis, checks, lines):
    """A dot and an interval per check, its numbers at the right; in words why there are none."""
    (low, high), ticks = LIMITS.get(checks[0]["scale"], WIDEST)
    for line, check in zip(lines, checks, strict=True):
        if check["undefined"]:
            axis.text(low, line, "not computed", fontsize=6.5, color=GREY, va="center")
            continue
        color = ORANGE if check["name"] == "main" else COLORS[check["scale"]]
        if check["range"]:
            axis.plot(check["range"], [line, line], color=GREY, linewidth=2.5, solid_capstyle="butt")
        marker = "o" if check["scale"] == "rho" else "s"
        draw_estimate(axis, line, check["estimate"], check["interval"], color=color, marker=marker, markersize=4)
        axis.annotate(numbers_of(check), (1.01, line), xycoords=("axes fraction", "data"), fontsize=6.5, va="center", annotation_clip=False)
    axis.axvline(checks[0]["no_effect"], color=GREY, linewidth=0.8)
    axis.set_yticks(lines, [words(check["label"]) for check in checks], fontsize=7)
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(lines[-1] + ROW, -ROW)
    axis.set(xlim=(low - 0.01, high + 0.01), xticks=ticks)


def numbers_of(check):
    """ "0.43 [0.36, 0.51]  N = 550", the number of pairs."""
    ends = check["interval"] or check["range"]
    spread = f" [{ends[0]:.2f}, {ends[1]:.2f}]" if ends else " (no interval)"
    return f"{check['estimate']:.2f}{spread}  N = {check['n_pairs']}"
