"""Plot how well each predictor ranks the bystanders by leakage."""

from persona_leakage.config.program_options import new_parser
from persona_leakage.figures.predictors import plot_league
from persona_leakage.figures.style import save_figure
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import read_json


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = new_parser("plot_predictors", __doc__, "predictors", "output").parse_args(argv)
    save_figure(plot_league(read_json(args.predictors)), args.output)


if __name__ == "__main__":
    run_program(main)
