"""Plot the correlations of several training seeds, and how far leakage agrees between them."""

from persona_leakage.errors import run_program
from persona_leakage.files import read_json
from persona_leakage.options import new_parser
from persona_leakage.plot_style import save_figure
from persona_leakage.seed_figure import plot_seed_stability


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = new_parser("plot_seed_stability", __doc__, "seeds", "output", default_settings={}).parse_args(argv)
    save_figure(plot_seed_stability(read_json(args.seeds)), args.output)


if __name__ == "__main__":
    run_program(main)
