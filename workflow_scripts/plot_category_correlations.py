"""Plot the correlation within each category of bystanders against that of all pairs."""

from persona_leakage.category_figures import plot_category_correlations
from persona_leakage.errors import run_program
from persona_leakage.files import read_json
from persona_leakage.options import new_parser
from persona_leakage.plot_style import save_figure


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = new_parser("plot_category_correlations", __doc__, "correlation", "output", default_settings={}).parse_args(argv)
    result = read_json(args.correlation)
    layer = result["headline_layer"]
    save_figure(plot_category_correlations(result["layers"][str(layer)], layer), args.output)


if __name__ == "__main__":
    run_program(main)
