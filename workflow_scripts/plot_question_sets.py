"""Plot the correlation on each question set, and its drop against the first."""

from persona_leakage.config.program_options import new_parser
from persona_leakage.figures.panels import plot_question_sets
from persona_leakage.figures.style import save_figure
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import read_json


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = new_parser("plot_question_sets", __doc__, "question-sets", "output").parse_args(argv)
    save_figure(plot_question_sets(read_json(args.question_sets)), args.output)


if __name__ == "__main__":
    run_program(main)
