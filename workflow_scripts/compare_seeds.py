"""Split the spread of correlations over repeated runs into a part of the training seed and one of the sampling seed."""

from persona_leakage.errors import run_program
from persona_leakage.files import read_json, write_json
from persona_leakage.options import new_parser
from persona_leakage.provenance import describe_run
from persona_leakage.seed_parts import compare_seeds


def main(argv=None):
    """Write seeds.json."""
    parser = new_parser("compare_seeds", __doc__, "output", default_settings={})
    parser.add_argument(
        "--correlations", nargs="+", required=True, metavar="PATH", help="correlation.json of runs that differ in their seeds only"
    )
    args = parser.parse_args(argv)
    runs = {path: read_json(path) for path in args.correlations}
    write_json(args.output, {"meta": describe_run("compare_seeds"), **compare_seeds(runs)})


if __name__ == "__main__":
    run_program(main)
