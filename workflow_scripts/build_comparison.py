"""Build the page of several experiments: one self-contained table with the figure."""

from persona_leakage.config.program_options import new_parser
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import atomic_path
from persona_leakage.reporting.report import render_comparison


def main(argv=None):
    """Write index.html."""
    args = new_parser("build_comparison", __doc__, "comparison", "figure", "output").parse_args(argv)
    page = render_comparison(args.comparison, args.figure)
    with atomic_path(args.output) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="strict")


if __name__ == "__main__":
    run_program(main)
