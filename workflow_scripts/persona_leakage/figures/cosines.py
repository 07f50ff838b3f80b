"""Cosines between all personas of the panel, similar ones next to each other, a large panel by clusters."""

import numpy as np
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from persona_leakage.figures.style import GREY, plt, style_of, words
from persona_leakage.infrastructure.files import check_digests
from persona_leakage.tables.question_counts import read_cosine_rows
from persona_leakage.tables.read import add_headline_layer, add_pairs, read_layer

NAMED = 60  # personas, up to which each is named
CLUSTERS = 20  # at most, of a larger panel


def add_inputs(parser):
    add_pairs(parser)
    add_headline_layer(parser)
    parser.add_argument("--cosines", required=True, metavar="PATH", help="cosines.csv, between all personas")


def draw(args):
    """The cosines of one layer, with a strip of categories; see draw_cosines."""
    pairs, layer = read_layer(args)
    if args.tables:
        check_digests([args.cosines], args.tables)
    cosines = read_cosine_rows(args.cosines)
    categories = dict(zip(pairs["persona"], pairs["category"], strict=True))
    return draw_cosines(cosines[cosines["layer"] == layer], categories, set(pairs["source"]), layer)


def cluster(cosines):
    """(positions of the personas with similar ones together, cluster of each): average linkage on 1 - cosine, leaves in the best order."""
    distances = np.clip(1 - (cosines + cosines.T) / 2, 0, None)
    np.fill_diagonal(distances, 0)
    condensed = squareform(distances, checks=False)
    tree = hierarchy.optimal_leaf_ordering(hierarchy.linkage(condensed, "average"), condensed)
    return hierarchy.leaves_list(tree), hierarchy.fcluster(tree, CLUSTERS, "maxclust")


def draw_cosines(table, categories, sources, layer):
    """Heat map [personas, personas], ordered by clustering, with a strip of categories; sources in bold.

    Above NAMED personas, the names are those of the clusters, as in name_clusters. table: the rows of ``layer`` of cosines.csv;
    categories: {persona: category}, unknown for a source that is no bystander.
    """
    names = sorted({*table["persona_a"], *table["persona_b"]})
    positions = {name: position for position, name in enumerate(names)}
    grid = np.eye(len(names))
    first, second = table["persona_a"].map(positions), table["persona_b"].map(positions)
    grid[first, second] = grid[second, first] = table["cosine"]
    order, clusters = cluster(grid)
    names, grid, clusters = [names[position] for position in order], grid[np.ix_(order, order)], clusters[order]
    side = max(4.5, 0.06 * len(names))
    figure, axes = plt.subplots(1, 2, figsize=(side + 2.2, side + 0.4), width_ratios=[1, 40], layout="constrained")
    styles = style_of(sorted(set(categories.values())))
    for position, name in enumerate(names):
        color = styles[categories[name]][0] if name in categories else "white"
        axes[0].add_patch(plt.Rectangle((0, position - 0.5), 1, 1, color=color, linewidth=0))
    axes[0].set(xlim=(0, 1), ylim=(len(names) - 0.5, -0.5), xticks=[])
    axes[0].tick_params(length=0)
    image = axes[1].imshow(grid, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    axes[1].set(xticks=[], yticks=[])
    if len(names) > NAMED:
        name_clusters(axes, names, grid, clusters, sources)
    else:
        axes[0].set_yticks(range(len(names)), [words(name) for name in names], fontsize=6.5)
        for label, name in zip(axes[0].get_yticklabels(), names, strict=True):
            label.set_fontweight("bold" if name in sources else "normal")
    for axis in axes:
        axis.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes[1], shrink=0.5, label=f"cosine, centred on the panel (block {layer})")
    handles = [plt.Rectangle((0, 0), 1, 1, color=color, label=words(name)) for name, (color, _) in styles.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=7)
    return figure


def name_clusters(axes, names, grid, clusters, sources):
    """Lines between the clusters, and their names: the sources in it, the persona closest to all others, how many more there are."""
    ends = [*np.flatnonzero(np.diff(clusters)) + 1, len(names)]
    wanted = []
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        central = names[start + grid[start:end, start:end].mean(axis=1).argmax()]
        shown = list(dict.fromkeys([*(name for name in names[start:end] if name in sources), central]))
        more = f" + {end - start - len(shown)}" if end - start > len(shown) else ""
        wanted.append(((start + end - 1) / 2, ", ".join(map(words, shown)) + more, any(name in sources for name in shown)))
        for draw_line in (axes[1].axhline, axes[1].axvline):
            draw_line(end - 0.5, color="black", linewidth=0.4)
    gap, low = 0.022 * len(names), -1.0
    heights = []
    for left, (center, _, _) in zip(range(len(wanted), 0, -1), wanted, strict=True):
        low = min(max(center, low + gap), len(names) - left * gap)
        heights.append(low)
    axes[0].set_yticks([])
    for height, (center, text, bold) in zip(heights, wanted, strict=True):
        axes[0].annotate(
            text,
            (0, center),
            xytext=(-2, height),
            ha="right",
            va="center",
            fontsize=7,
            fontweight="bold" if bold else "normal",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 1, "shrinkB": 0},
        )
