"""Plot the correlations of several training seeds, and how far leakage agrees between them."""

from persona_leakage.config.program_options import new_parser
from persona_leakage.figures.seed_agreement import plot_seed_stability
from persona_leakage.figures.style import save_figure
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import read_json


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = new_parser("plot_seed_stability", __doc__, "seeds", "output").parse_args(argv)
    save_figure(plot_seed_stability(read_json(args.seeds)), args.output)


if __name__ == "__main__":
    run_program(main)
