"""Plot the loss of each adapter's training."""

from persona_leakage.config.blocks.fields import Block, Names, Seeds
from persona_leakage.config.program_options import new_parser
from persona_leakage.figures.style import save_figure
from persona_leakage.figures.training_and_replies import plot_training
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import read_json


class Settings(Block):
    """Sources and training seeds, in the order of the files."""

    sources: Names
    seeds: Seeds


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    parser = new_parser("plot_training", __doc__, "output", settings=Settings)
    parser.add_argument(
        "--metrics", nargs="+", required=True, metavar="PATH", help="metrics.json of each source and seed, in the order of --settings"
    )
    args = parser.parse_args(argv)
    runs = [(source, seed) for source in args.settings.sources for seed in args.settings.seeds]
    save_figure(plot_training({run: read_json(path)["loss"] for run, path in zip(runs, args.metrics, strict=True)}), args.output)


if __name__ == "__main__":
    run_program(main)
