"""Plot the mean correlation of several experiments, by model and recipe."""

from persona_leakage.config.program_options import new_parser
from persona_leakage.figures.experiments import plot_comparison
from persona_leakage.figures.style import save_figure
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import read_json


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = new_parser("plot_comparison", __doc__, "comparison", "output").parse_args(argv)
    save_figure(plot_comparison(read_json(args.comparison)["runs"]), args.output)


if __name__ == "__main__":
    run_program(main)
