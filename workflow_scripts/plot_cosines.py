"""Plot the cosines between all personas of the panel, alike ones side by side."""

from persona_leakage.figures.cosines import plot_cosines
from persona_leakage.figures.style import save_figure
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import check_digests
from persona_leakage.tables.question_counts import read_cosine_rows
from persona_leakage.tables.read import choose_layer, pairs_parser, read_checked_pairs


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    parser = pairs_parser("plot_cosines", __doc__)
    parser.add_argument("--cosines", required=True, metavar="PATH", help="cosines.csv, between all personas")
    args = parser.parse_args(argv)
    pairs = read_checked_pairs(args)
    layer = choose_layer(pairs, args)
    categories = dict(zip(pairs["persona"], pairs["category"], strict=True))
    if args.tables:
        check_digests([args.cosines], args.tables)
    cosines = read_cosine_rows(args.cosines)
    save_figure(plot_cosines(cosines[cosines["layer"] == layer], categories, set(pairs["source"]), layer), args.output)


if __name__ == "__main__":
    run_program(main)
