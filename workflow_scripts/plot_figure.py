"""Draw a figure from result files, or from tables of your own, as PDF, PNG and SVG."""

import argparse
import importlib
from pathlib import Path

from persona_leakage.config.program_options import new_parser
from persona_leakage.figures.style import save_figure
from persona_leakage.infrastructure.cli import InputError, run_program

FIGURES = Path(__file__).parent / "persona_leakage/figures"


def main(argv=None):
    """Write the figure NAME at --output, and next to it in the other formats."""
    names = sorted(path.stem for path in FIGURES.glob("*.py") if "\ndef draw(" in path.read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(
        prog="plot_figure",
        usage="plot_figure [-h] NAME [inputs] --output PATH",
        description=__doc__,
        epilog=f"Figures: {', '.join(names)}.",
    )
    parser.add_argument("name", metavar="NAME", help="the figure; NAME --help lists its inputs")
    name = parser.parse_args(argv[:1]).name
    if name not in names:
        raise InputError(f"'{name}' is no figure; choose one of {', '.join(names)}")
    figure = importlib.import_module(f"persona_leakage.figures.{name}")
    inputs = new_parser(f"plot_figure {name}", figure.__doc__, "output")
    figure.add_inputs(inputs)
    args = inputs.parse_args(argv[1:])
    save_figure(figure.draw(args), args.output)


if __name__ == "__main__":
    run_program(main)
