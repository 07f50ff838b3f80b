"""Plot the correlation by layer, with intervals and what relabelled personas give."""

from persona_leakage.config.program_options import new_parser
from persona_leakage.figures.style import save_figure
from persona_leakage.figures.summary import plot_layers
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import read_json


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = new_parser("plot_layers", __doc__, "correlation", "output").parse_args(argv)
    result = read_json(args.correlation)
    save_figure(plot_layers(result["layers"], result["headline_layer"]), args.output)


if __name__ == "__main__":
    run_program(main)
