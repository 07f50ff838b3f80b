"""Plot the leakage of the personas that leak most, by source."""

from persona_leakage.figures.style import save_figure
from persona_leakage.figures.summary import plot_heat_map
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.tables.read import pairs_parser, read_layer


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = pairs_parser("plot_heat_map", __doc__).parse_args(argv)
    pairs, _ = read_layer(args)
    save_figure(plot_heat_map(pairs), args.output)


if __name__ == "__main__":
    run_program(main)
