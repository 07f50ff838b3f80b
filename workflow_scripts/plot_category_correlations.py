"""Plot the correlation within each category of bystanders against that of all pairs."""

from persona_leakage.config.program_options import new_parser
from persona_leakage.figures.categories import plot_category_correlations
from persona_leakage.figures.style import save_figure
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import read_json


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = new_parser("plot_category_correlations", __doc__, "correlation", "output").parse_args(argv)
    result = read_json(args.correlation)
    layer = result["headline_layer"]
    save_figure(plot_category_correlations(result["layers"][str(layer)], layer), args.output)


if __name__ == "__main__":
    run_program(main)
