"""Plot leakage against cosine, one panel for each source, as pdf, png and svg."""

from persona_leakage.figures.scatter import plot_scatter
from persona_leakage.figures.style import save_figure
from persona_leakage.infrastructure.cli import InputError, run_program
from persona_leakage.infrastructure.files import read_json, sha256_of_file
from persona_leakage.statistics.leakage.correlations import correlate_sources
from persona_leakage.tables.read import pairs_parser, read_layer


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    parser = pairs_parser("plot_scatter", __doc__)
    parser.add_argument("--correlation", metavar="PATH", help="correlation.json of that table (default: correlate here)")
    args = parser.parse_args(argv)
    pairs, layer = read_layer(args)
    known = args.correlation and known_correlations(args, layer)
    correlations = known or correlate_sources(pairs)
    save_figure(plot_scatter(pairs, correlations, layer), args.output)


def known_correlations(args, layer):
    """{source: its correlations} of --correlation; InputError if it was computed from another table than --pairs."""
    content = read_json(args.correlation)
    if content["meta"].get("pairs_sha256") != sha256_of_file(args.pairs):
        raise InputError(f"--correlation: {args.correlation} was not computed from {args.pairs}; leave it out, or compute it again")
    return content["layers"][str(layer)]["per_source"]


if __name__ == "__main__":
    run_program(main)
