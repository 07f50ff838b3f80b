"""Plot leakage against cosine, categories of the bystanders apart, one panel for each source."""

from persona_leakage.category_figures import plot_category_scatter
from persona_leakage.errors import run_program
from persona_leakage.pairs_file import pairs_parser, read_layer
from persona_leakage.plot_style import save_figure


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = pairs_parser("plot_category_scatter", __doc__).parse_args(argv)
    pairs, layer = read_layer(args)
    save_figure(plot_category_scatter(pairs, layer), args.output)


if __name__ == "__main__":
    run_program(main)
