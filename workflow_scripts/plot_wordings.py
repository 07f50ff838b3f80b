"""Plot correlations within and across wordings, and what role and wording share of the spread."""

from persona_leakage.errors import run_program
from persona_leakage.files import read_json
from persona_leakage.options import new_parser
from persona_leakage.panel_figures import plot_wordings
from persona_leakage.plot_style import save_figure


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = new_parser("plot_wordings", __doc__, "wordings", "output", default_settings={}).parse_args(argv)
    save_figure(plot_wordings(read_json(args.wordings)), args.output)


if __name__ == "__main__":
    run_program(main)
