"""Plot the prompts without a persona among the bystanders, one panel for each source."""

from persona_leakage.figures.panels import plot_variants
from persona_leakage.figures.style import save_figure
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import read_json
from persona_leakage.tables.read import pairs_parser, read_layer


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    parser = pairs_parser("plot_variants", __doc__)
    parser.add_argument("--variants", required=True, metavar="PATH", help="variants.json")
    args = parser.parse_args(argv)
    pairs, _ = read_layer(args)
    save_figure(plot_variants(read_json(args.variants), pairs), args.output)


if __name__ == "__main__":
    run_program(main)
