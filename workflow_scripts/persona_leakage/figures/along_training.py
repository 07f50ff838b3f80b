"""Leakage along training: gain of the bystanders, and its correlation with the cosine, against the own gain of the source."""

import pandas as pd

from persona_leakage.figures.style import GREY, MARKERS, PALETTE, plt, words


def add_inputs(parser):
    parser.add_argument("--tables", nargs="+", required=True, metavar="PATH", help="along_training.csv; of several recipes: of each")
    parser.add_argument("--labels", nargs="+", default=[], help="the recipes' names (default: numbers)")


def draw(args):
    """Above: mean gain of the bystanders; below: rho. A column for each recipe; a line for each source, a point for each step."""
    tables = [pd.read_csv(path) for path in args.tables]
    titles = [*args.labels, *map(str, range(len(args.labels) + 1, len(tables) + 1))]
    figure, axes = plt.subplots(
        2, len(tables), figsize=(1.2 + 3.2 * len(tables), 5.4), sharex=True, sharey="row", squeeze=False, layout="constrained"
    )
    sources = list(dict.fromkeys(name for table in tables for name in table["source"]))
    for column, (table, title) in enumerate(zip(tables, titles, strict=True)):
        for index, source in enumerate(sources):
            rows = table[table["source"] == source]
            style = {"color": PALETTE[index % len(PALETTE)], "marker": MARKERS[index % len(MARKERS)], "markersize": 4, "linewidth": 1}
            axes[0, column].plot(rows["own_gain"], rows["mean_gain"], label=words(source), **style)
            axes[1, column].plot(rows["own_gain"], rows["rho"], **style)
        top = max(each["own_gain"].max() for each in tables)
        axes[0, column].plot([0, top], [0, top], color=GREY, linewidth=0.8, linestyle=":", label="as much as the source")
        axes[1, column].axhline(0, color=GREY, linewidth=0.8)
        axes[1, column].set_xlabel("own gain of the source (nats)")
        if len(tables) > 1:
            axes[0, column].set_title(words(title))
    axes[0, 0].set_ylabel("mean gain of its bystanders (nats)")
    axes[1, 0].set_ylabel("correlation of cosine with gain")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=min(4, 2 * len(tables)), fontsize=7.5)
    return figure
