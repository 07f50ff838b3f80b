"""Plot the correlation on each question set, and its drop against the first."""

from persona_leakage.errors import run_program
from persona_leakage.files import read_json
from persona_leakage.options import new_parser
from persona_leakage.panel_figures import plot_question_sets
from persona_leakage.plot_style import save_figure


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = new_parser("plot_question_sets", __doc__, "question-sets", "output", default_settings={}).parse_args(argv)
    save_figure(plot_question_sets(read_json(args.question_sets)), args.output)


if __name__ == "__main__":
    run_program(main)
