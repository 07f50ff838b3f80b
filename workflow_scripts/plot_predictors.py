"""Plot how well each predictor ranks the bystanders by leakage."""

from persona_leakage.errors import run_program
from persona_leakage.files import read_json
from persona_leakage.league_figure import plot_league
from persona_leakage.options import new_parser
from persona_leakage.plot_style import save_figure


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = new_parser("plot_predictors", __doc__, "predictors", "output", default_settings={}).parse_args(argv)
    save_figure(plot_league(read_json(args.predictors)), args.output)


if __name__ == "__main__":
    run_program(main)
