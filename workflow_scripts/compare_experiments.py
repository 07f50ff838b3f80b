"""Set finished experiments side by side: correlations by model, recipe and seed. Reads their results, makes none."""

import sys

from pydantic import Field

from persona_leakage.config.blocks.fields import Block
from persona_leakage.config.program_options import new_parser
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import atomic_path, write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.statistics.comparisons.experiments import comparison_table, read_experiments


class Settings(Block):
    """Digests of the files that are compared; they make the comparison stale."""

    compared: dict[str, str] = Field({})


def main(argv=None):
    """Write comparison.json and comparison.csv; what cannot be read is named in the first, and as a warning."""
    parser = new_parser("compare_experiments", __doc__, "output", "table", settings=Settings)
    parser.add_argument("--folders", nargs="+", required=True, metavar="PATH", help="results/{experiment} of each")
    args = parser.parse_args(argv)
    found = read_experiments(args.folders)
    for entry in found["left_out"]:
        print(f"warning: left out: {entry['reason']}", file=sys.stderr)
    with atomic_path(args.table) as temporary:
        comparison_table(found["runs"]).to_csv(temporary, index=False, lineterminator="\n")
    write_json(args.output, {"meta": describe_run("compare_experiments"), **found})


if __name__ == "__main__":
    run_program(main)
