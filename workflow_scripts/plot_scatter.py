"""Plot leakage against cosine, one panel for each source, as pdf, png and svg."""

from persona_leakage.errors import run_program
from persona_leakage.files import read_json
from persona_leakage.options import new_parser
from persona_leakage.pairs import read_pairs
from persona_leakage.plot_style import save_figure
from persona_leakage.scatter import plot_scatter


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = new_parser("plot_scatter", __doc__, "pairs", "correlation", "output").parse_args(argv)
    layer = args.settings["headline_layer"]
    table = read_pairs(args.pairs)
    correlations = read_json(args.correlation)["layers"][str(layer)]["per_source"]
    save_figure(plot_scatter(table[table["layer"] == layer], correlations, layer), args.output)


if __name__ == "__main__":
    run_program(main)
