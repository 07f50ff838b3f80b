"""Plot leakage against cosine, categories of the bystanders apart, one panel for each source."""

from persona_leakage.figures.categories import plot_category_scatter
from persona_leakage.figures.style import save_figure
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.tables.read import pairs_parser, read_layer


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = pairs_parser("plot_category_scatter", __doc__).parse_args(argv)
    pairs, layer = read_layer(args)
    save_figure(plot_category_scatter(pairs, layer), args.output)


if __name__ == "__main__":
    run_program(main)
