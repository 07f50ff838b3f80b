"""Cosines between all personas of the panel, similar ones next to each other, a large panel by clusters."""

import numpy as np
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from persona_leakage.figures.style import plt, style_of, words
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
    rows = enumerate(names) if len(names) <= NAMED else name_clusters(axes[1], names, grid, clusters, sources)
    heights, titles = zip(*rows, strict=True)
    axes[0].set_yticks(heights, map(words, titles), fontsize=6.5)
    for label, title in zip(axes[0].get_yticklabels(), titles, strict=True):
        label.set_fontweight("bold" if title.split(", ")[0].split(" + ")[0] in sources else "normal")
    for axis in axes:
        axis.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes[1], shrink=0.5, label=f"cosine, centred on the panel (block {layer})")
    handles = [plt.Rectangle((0, 0), 1, 1, color=color, label=words(name)) for name, (color, _) in styles.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=7)
    return figure


def name_clusters(axis, names, grid, clusters, sources):
    """Lines between the clusters; [(height, sources in it and the persona closest to all others + how many more)], not too close."""
    ends = [*(np.flatnonzero(np.diff(clusters)) + 1).tolist(), len(names)]
    gap, height, rows = 0.02 * len(names), -np.inf, []
    for left, (start, end) in zip(range(len(ends), 0, -1), zip([0, *ends], ends, strict=False), strict=True):
        central = names[start + grid[start:end, start:end].mean(axis=1).argmax()]
        shown = list(dict.fromkeys([*(name for name in names[start:end] if name in sources), central]))
        height = min(max((start + end - 1) / 2, height + gap), len(names) - left * gap)
        rows.append((height, ", ".join(shown) + f" + {end - start - len(shown)}" * (end - start > len(shown))))
        for draw_line in (axis.axhline, axis.axvline):
            draw_line(end - 0.5, color="black", linewidth=0.4)
    return rows
