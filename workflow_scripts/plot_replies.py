"""Plot reply lengths and marker positions of each adapter against the base model."""

from persona_leakage.errors import run_program
from persona_leakage.files import read_json
from persona_leakage.options import new_parser
from persona_leakage.plot_style import save_figure
from persona_leakage.run_figures import BASE, plot_replies


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    parser = new_parser("plot_replies", __doc__, "base-eval", "output")
    parser.add_argument("--marker-evals", nargs="+", required=True, metavar="PATH", help="marker_eval.json of each source")
    args = parser.parse_args(argv)
    states = {BASE: {"personas": read_json(args.base_eval)["personas"], "source": None}}
    for source, path in zip(args.settings["sources"], args.marker_evals, strict=True):
        states[source] = {"personas": read_json(path)["personas"], "source": source}
    save_figure(plot_replies(states), args.output)


if __name__ == "__main__":
    run_program(main)
