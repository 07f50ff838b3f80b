"""Plot leakage against cosine, one panel for each source, as pdf, png and svg."""

from persona_leakage.correlation import correlate_sources
from persona_leakage.errors import run_program
from persona_leakage.files import read_json
from persona_leakage.pairs_file import choose_layer, pairs_parser, read_pairs
from persona_leakage.plot_style import save_figure
from persona_leakage.scatter import plot_scatter


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    parser = pairs_parser("plot_scatter", __doc__)
    parser.add_argument("--correlation", metavar="PATH", help="correlation.json of that table (default: correlate here)")
    args = parser.parse_args(argv)
    table = read_pairs(args.pairs)
    layer = choose_layer(table, args)
    chosen = table[table["layer"] == layer]
    known = args.correlation and read_json(args.correlation)["layers"][str(layer)]["per_source"]
    correlations = known or correlate_sources(chosen)
    save_figure(plot_scatter(chosen, correlations, layer), args.output)


if __name__ == "__main__":
    run_program(main)
