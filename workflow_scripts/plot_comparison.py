"""Plot the mean correlation of several experiments, by model and recipe."""

from persona_leakage.comparison_figure import plot_comparison
from persona_leakage.errors import run_program
from persona_leakage.files import read_json
from persona_leakage.options import new_parser
from persona_leakage.plot_style import save_figure


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = new_parser("plot_comparison", __doc__, "comparison", "output", default_settings={}).parse_args(argv)
    save_figure(plot_comparison(read_json(args.comparison)["runs"]), args.output)


if __name__ == "__main__":
    run_program(main)
