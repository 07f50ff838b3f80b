"""Plot finer measures of leakage beside the sampled rate: reliability, correlation with cosine, agreement."""

import pandas as pd

from persona_leakage.config.program_options import new_parser
from persona_leakage.figures.leakage_measures import plot_measures
from persona_leakage.figures.style import save_figure
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import check_digest, read_json


def main(argv=None):
    """Write the figure at --output and beside it in the other formats."""
    args = new_parser("plot_measures", __doc__, "table", "result", "output").parse_args(argv)
    result = read_json(args.result)
    check_digest(args.table, result["meta"]["table_sha256"], args.result)
    save_figure(plot_measures(pd.read_csv(args.table), result), args.output)


if __name__ == "__main__":
    run_program(main)
