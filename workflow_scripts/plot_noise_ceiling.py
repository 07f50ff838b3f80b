"""Plot each source's correlation beside the highest that noise lets any predictor reach."""

from persona_leakage.config.program_options import new_parser
from persona_leakage.figures.style import save_figure
from persona_leakage.figures.summary import plot_noise_ceiling
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import read_json


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = new_parser("plot_noise_ceiling", __doc__, "correlation", "output").parse_args(argv)
    result = read_json(args.correlation)
    per_source = result["layers"][str(result["headline_layer"])]["per_source"]
    save_figure(plot_noise_ceiling(per_source, result["noise_ceiling"]), args.output)


if __name__ == "__main__":
    run_program(main)
