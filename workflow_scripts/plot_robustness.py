"""Plot the main correlation under other choices, a line per check."""

from persona_leakage.errors import run_program
from persona_leakage.files import read_json
from persona_leakage.options import new_parser
from persona_leakage.plot_style import save_figure
from persona_leakage.robustness_figure import plot_robustness


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = new_parser("plot_robustness", __doc__, "robustness", "output", default_settings={}).parse_args(argv)
    save_figure(plot_robustness(read_json(args.robustness)), args.output)


if __name__ == "__main__":
    run_program(main)
