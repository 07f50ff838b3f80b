"""Leakage into bystanders that were never negatives, by number and choice of negatives, and the sources' own rates."""

from persona_leakage.figures.marks import draw_estimate, estimate_handle, list_rows, point_handle, say_why
from persona_leakage.figures.style import BLUE, plt, style_of, words
from persona_leakage.infrastructure.files import read_json

PANELS = (
    ("relative_leakage", "leakage divided by the source's rise"),
    ("gain_difference", "bystanders' gain minus the source's, nats"),
    ("own_rate", "the source's own rate"),
)


def add_inputs(parser):
    parser.add_argument("--containment", required=True, metavar="PATH", help="containment.json")


def draw(args):
    """A row for each condition: the mean of the sources with its interval, and each source as a point."""
    result = read_json(args.containment, "compare_containment")
    conditions = result["per_condition"] or {}
    figure, axes = plt.subplots(1, len(PANELS), figsize=(8.4, 1.4 + 0.3 * len(conditions)), sharey=True, layout="constrained")
    if result["undefined"]:
        for axis in axes:
            say_why(axis, result["undefined"])
        return figure
    order = sorted(conditions, key=place_of)
    styles = style_of(result["sources"])
    for axis, (measure, label) in zip(axes, PANELS, strict=True):
        list_rows(axis, [words(title_of(name)) for name in order])
        for position, name in enumerate(order):
            for source, (colour, marker) in styles.items():
                draw_estimate(axis, position + 0.22, conditions[name][source][measure], None, color=colour, marker=marker, markersize=3.5)
            mean = conditions[name]["mean"]
            draw_estimate(axis, position - 0.12, mean[measure], mean.get(f"{measure}_interval"), color=BLUE)
        axis.set_xlabel(label)
    handles = [estimate_handle("mean of the sources, 95 % interval over bystanders")]
    handles += [point_handle(words(source), colour, marker, markersize=3.5) for source, (colour, marker) in styles.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=7.5)
    return figure


def place_of(name):
    """Sorts conditions by choice, then by number; all comes last."""
    choice = name.rstrip("0123456789").removesuffix("all")
    number = name.removeprefix(choice)
    return ("hash", "nearest", "spread", "farthest", "list").index(choice), 10**6 if not number.isdecimal() else int(number)


def title_of(name):
    """ "nearest, 2" of the condition nearest2."""
    choice = name if name == "list" else name.rstrip("0123456789").removesuffix("all")
    return f"{choice}, {name.removeprefix(choice)}".removesuffix(", ")
