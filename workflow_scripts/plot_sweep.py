"""Plot the correlation by layer and token position, with what relabelled panels give when all choices are looked at."""

from persona_leakage.config.program_options import new_parser
from persona_leakage.figures.layer_sweep import plot_sweep
from persona_leakage.figures.style import save_figure
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import read_json


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = new_parser("plot_sweep", __doc__, "sweep", "output").parse_args(argv)
    save_figure(plot_sweep(read_json(args.sweep)), args.output)


if __name__ == "__main__":
    run_program(main)
