"""Plot the prompts without a persona among the bystanders, one panel for each source."""

from persona_leakage.errors import run_program
from persona_leakage.files import read_json
from persona_leakage.pairs_file import pairs_parser, read_layer
from persona_leakage.panel_figures import plot_variants
from persona_leakage.plot_style import save_figure


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    parser = pairs_parser("plot_variants", __doc__)
    parser.add_argument("--variants", required=True, metavar="PATH", help="variants.json")
    args = parser.parse_args(argv)
    pairs, _ = read_layer(args)
    save_figure(plot_variants(read_json(args.variants), pairs), args.output)


if __name__ == "__main__":
    run_program(main)
