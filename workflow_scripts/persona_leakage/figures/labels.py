"""Names of points that cover no point, no other name and no other name's line."""

from itertools import permutations

import numpy as np
from matplotlib.text import Text

from persona_leakage.figures.style import GREY, words

STEPS = 28  # places tried in each direction of a panel
CLEAR = 5  # pixels at 100 dpi between a name and a point
CLOSE = 4  # pixels between a line and a point that is not its own

LINE = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2}
STYLE = {"ha": "center", "va": "center", "fontsize": 7, "color": "#333333", "zorder": 4, "in_layout": False, "arrowprops": LINE}


def name_points(axis, points, named):
    """Write names into a panel whose layout is final, each with a thin line to its point. A name that has no free place is left out.

    points: [n, 2], all that is drawn, in data units. named: {name: its point}, a few. Of all orders in which the names can choose
    their place, the one with the shortest lines wins; a line may pass a point only where no other place is left.
    """
    points = axis.transData.transform(np.asarray(points, dtype=float).reshape(-1, 2))
    ends = {name: axis.transData.transform(point) for name, point in named.items()}
    sizes = {name: size_of(axis, words(name)) for name in named}
    costs = {name: costs_of(axis.get_window_extent(), points, ends[name], sizes[name]) for name in named}
    tried = [place(order, costs, sizes, ends) for order in permutations(named)]
    placed, _ = min(tried, key=lambda found: found[1], default=({}, 0))
    for name, center in placed.items():
        place_of_text = axis.transAxes.inverted().transform(center)
        axis.annotate(words(name), named[name], xytext=place_of_text, textcoords="axes fraction", **STYLE)


def size_of(axis, text):
    """Width and height of a name in pixels."""
    probe = axis.text(0, 0, text, fontsize=7)
    box = Text.get_window_extent(probe, axis.figure.canvas.get_renderer())
    probe.remove()
    return np.array([box.width, box.height])


def costs_of(panel, points, end, size):
    """Positions of a label that cover no point: (centers [k, 2], costs [k]). Cost: line length, plus a penalty for crossing points."""
    margin = size / 2 + 2
    x, y = (np.linspace(low + edge, high - edge, STEPS) for low, high, edge in zip(panel.min, panel.max, margin, strict=True))
    centers = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    apart = np.abs(points[None] - centers[:, None]) > size / 2 + CLEAR
    centers = centers[apart.any(axis=-1).all(axis=-1)]
    starts = np.clip(end, centers - size / 2, centers + size / 2)
    lines = end - starts
    lengths = np.linalg.norm(lines, axis=1)
    others = points[np.linalg.norm(points - end, axis=1) > 1]
    along = np.clip(((others[None] - starts[:, None]) @ lines[..., None])[..., 0] / np.maximum(lengths, 1)[:, None] ** 2, 0, 1)
    nearest = starts[:, None] + along[..., None] * lines[:, None]
    passed = (np.linalg.norm(others[None] - nearest, axis=-1) < CLOSE).sum(axis=1) if len(others) else np.zeros(len(centers))
    return centers, lengths + 200 * passed


def place(order, costs, sizes, ends):
    """({name: center}, total cost): each name in turn takes its cheapest place that is free of the earlier names and their lines."""
    placed, total = {}, 0.0
    for name in order:
        centers, cost = costs[name]
        for index in np.argsort(cost):
            if all(apart(centers[index], sizes[name], ends[name], placed[other], sizes[other], ends[other]) for other in placed):
                placed[name], total = centers[index], total + cost[index]
                break
        else:
            total += 10_000
    return placed, total


def apart(center, size, end, other_center, other_size, other_end):
    """Whether two names with their lines neither overlap nor cross; centers, sizes and ends in pixels."""
    line = np.clip(end, center - size / 2, center + size / 2), end
    other_line = np.clip(other_end, other_center - other_size / 2, other_center + other_size / 2), other_end
    along = np.linspace(0, 1, 40)[:, None]
    met = [((center, center), other_center, (size + other_size) / 2 + 2), (line, other_center, other_size / 2 + 1)]
    for (start, stop), box, extent in (*met, (other_line, center, size / 2 + 1)):
        if (np.abs(start + along * (stop - start) - box) < extent).all(axis=1).any():
            return False
    return not cross(*line, *other_line)


def cross(start, stop, other_start, other_stop):
    """Whether two line segments cross."""
    side = lambda a, b, c: np.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))  # noqa: E731
    return (
        side(start, stop, other_start) * side(start, stop, other_stop) < 0
        and side(other_start, other_stop, start) * side(other_start, other_stop, stop) < 0
    )
