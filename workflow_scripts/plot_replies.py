"""Plot reply lengths and marker positions of each adapter against the base model."""

from persona_leakage.config.blocks.fields import Block, Names
from persona_leakage.config.program_options import new_parser
from persona_leakage.figures.style import save_figure
from persona_leakage.figures.training_and_replies import BASE, plot_replies
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import read_json


class Settings(Block):
    """The sources, in the order of the files."""

    sources: Names


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    parser = new_parser("plot_replies", __doc__, "base-eval", "output", settings=Settings)
    parser.add_argument("--marker-evals", nargs="+", required=True, metavar="PATH", help="marker_eval.json of each source")
    args = parser.parse_args(argv)
    states = {BASE: {"personas": read_json(args.base_eval)["personas"], "source": None}}
    for source, path in zip(args.settings.sources, args.marker_evals, strict=True):
        states[source] = {"personas": read_json(path)["personas"], "source": source}
    save_figure(plot_replies(states), args.output)


if __name__ == "__main__":
    run_program(main)
