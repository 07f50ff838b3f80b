"""The correlation on each question set, and its drop against the first set."""

from persona_leakage.figures.marks import correlation_handles, draw_correlations, draw_estimate, estimate_handle, list_rows, say_why
from persona_leakage.figures.style import BLUE, GREEN, plt, words
from persona_leakage.infrastructure.files import read_json


def add_inputs(parser):
    parser.add_argument("--question-sets", required=True, metavar="PATH", help="question_sets.json")


def draw(args):
    """Left: each set's correlation. Right: how much lower it is than the first set's."""
    result = read_json(args.question_sets, "compare_question_sets")
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
    for kind, color, marker, shift, _ in kinds:
        for position, block in enumerate(drops.values()):
            mean = block[kind]["mean"]
            draw_estimate(axes[1], position + shift, mean["drop"], mean["interval"], color=color, marker=marker, linewidth=1.3)
    axes[1].set_xlabel(f"drop of the mean ρ against {words(result['first'])}")
    axes[1].margins(x=0.15)
    marks = [estimate_handle(label, color=color, marker=marker, linewidth=None) for _, color, marker, _, label in kinds]
    figure.legend(handles=[*correlation_handles(), *marks], loc="outside lower center", ncols=2, fontsize=7.5)
    return figure
