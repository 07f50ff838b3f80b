"""Leakage against cosine, one panel for each source, bystanders by category."""

from persona_leakage.figures.marks import label_cosine, point_handle, rate_label
from persona_leakage.figures.style import COLUMNS, panels, style_of, words
from persona_leakage.tables.read import add_headline_layer, add_pairs, read_layer


def add_inputs(parser):
    add_pairs(parser)
    add_headline_layer(parser)


def draw(args):
    """A panel for each source, categories by color and shape."""
    table, layer = read_layer(args)
    sources = list(dict.fromkeys(table["source"]))
    styles = style_of(sorted(set(table["category"])))
    figure, axes = panels(len(sources), sharex=True, sharey=True)
    for position, (axis, source) in enumerate(zip(axes, sources, strict=True)):
        for category, rows in table[table["source"] == source].groupby("category"):
            color, marker = styles[category]
            axis.scatter(rows["cosine"], rows["rate"], s=16, c=color, marker=marker, alpha=0.8, linewidths=0)
        axis.set_title(words(source))
        axis.set_ylim(-0.04, 1.04)
        if position % COLUMNS == 0:
            axis.set_ylabel(rate_label(table))
    handles = [point_handle(words(name), color, marker, markersize=None) for name, (color, marker) in styles.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=6, fontsize=7.5, handletextpad=0.1)
    label_cosine(figure, layer)
    return figure
