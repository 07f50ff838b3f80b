"""Plot the main correlation under other choices, a line per check."""

from persona_leakage.config.program_options import new_parser
from persona_leakage.figures.robustness import plot_robustness
from persona_leakage.figures.style import save_figure
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import read_json


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = new_parser("plot_robustness", __doc__, "robustness", "output").parse_args(argv)
    save_figure(plot_robustness(read_json(args.robustness)), args.output)


if __name__ == "__main__":
    run_program(main)
