"""Plot how much the personas of each category leak, one panel for each source."""

from persona_leakage.figures.categories import plot_category_rates
from persona_leakage.figures.style import save_figure
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.tables.read import pairs_parser, read_layer


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = pairs_parser("plot_category_rates", __doc__).parse_args(argv)
    pairs, _ = read_layer(args)
    save_figure(plot_category_rates(pairs), args.output)


if __name__ == "__main__":
    run_program(main)
