"""Plot correlations within and across wordings, and what role and wording share of the spread."""

from persona_leakage.config.program_options import new_parser
from persona_leakage.figures.panels import plot_wordings
from persona_leakage.figures.style import save_figure
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import read_json


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = new_parser("plot_wordings", __doc__, "wordings", "output").parse_args(argv)
    save_figure(plot_wordings(read_json(args.wordings)), args.output)


if __name__ == "__main__":
    run_program(main)
