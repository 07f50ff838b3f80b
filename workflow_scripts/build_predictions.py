"""Build the page of predictions: one self-contained file with the figure and the tables."""

from persona_leakage.config.program_options import new_parser
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import atomic_path
from persona_leakage.reporting.prediction_page import render_predictions


def main(argv=None):
    """Write index.html."""
    args = new_parser("build_predictions", __doc__, "predictions", "table", "figure", "output").parse_args(argv)
    page = render_predictions(args.predictions, args.table, args.figure)
    with atomic_path(args.output) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="strict")


if __name__ == "__main__":
    run_program(main)
