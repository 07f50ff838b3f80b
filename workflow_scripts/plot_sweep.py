"""Plot the correlation by layer and token position, with what relabelled panels give when all choices are looked at."""

from persona_leakage.errors import run_program
from persona_leakage.files import read_json
from persona_leakage.options import new_parser
from persona_leakage.plot_style import save_figure
from persona_leakage.sweep_figure import plot_sweep


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = new_parser("plot_sweep", __doc__, "sweep", "output", default_settings={}).parse_args(argv)
    save_figure(plot_sweep(read_json(args.sweep)), args.output)


if __name__ == "__main__":
    run_program(main)
