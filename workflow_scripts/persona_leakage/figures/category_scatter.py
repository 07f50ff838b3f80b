"""Leakage against cosine, one panel for each category of bystanders, by source."""

from persona_leakage.figures.marks import label_cosine, point_handle, rate_label, scale_leakage
from persona_leakage.figures.style import GREY, panels, style_of, words
from persona_leakage.tables.read import add_headline_layer, add_pairs, read_layer

ACROSS = 4


def add_inputs(parser):
    add_pairs(parser)
    add_headline_layer(parser)


def draw(args):
    """A panel for each category: its personas in the color and shape of the source, all others in grey."""
    table, layer = read_layer(args)
    styles = style_of(list(dict.fromkeys(table["source"])))
    categories = sorted(set(table["category"]))
    figure, axes = panels(len(categories), width=2.1, height=1.9, columns=ACROSS, sharex=True, sharey=True)
    for position, (axis, category) in enumerate(zip(axes, categories, strict=True)):
        axis.scatter(table["cosine"], table["rate"], s=3, c=GREY, alpha=0.2, linewidths=0)
        for source, rows in table[table["category"] == category].groupby("source", sort=False):
            color, marker = styles[source]
            axis.scatter(rows["cosine"], rows["rate"], s=13, c=color, marker=marker, alpha=0.85, linewidths=0)
        axis.set_title(words(category))
        scale_leakage(axis.yaxis, table["total"].max())
        if position % ACROSS == 0:
            axis.set_ylabel(rate_label(table), fontsize=7)
    handles = [point_handle(words(name), color, marker, markersize=None) for name, (color, marker) in styles.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=6, fontsize=7.5, handletextpad=0.1)
    label_cosine(figure, layer)
    return figure
