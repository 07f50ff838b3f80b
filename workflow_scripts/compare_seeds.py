"""How stable are the correlations and the leakage when the adapters are trained again, and how much of it is sampling?"""

from persona_leakage.config.program_options import new_parser
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import read_json, write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.statistics.comparisons.training_seeds import compare_seeds
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.tables.question_counts import read_question_counts
from persona_leakage.tables.read import read_pairs


def main(argv=None):
    """Write seeds.json."""
    parser = new_parser("compare_seeds", __doc__, "output")
    for option in ("correlations", "pairs", "question-counts"):
        parser.add_argument(f"--{option}", nargs="+", required=True, metavar="PATH", help="of one experiment, for each training seed")
    args = parser.parse_args(argv)
    runs = [read_json(path, "correlate_leakage") for path in args.correlations]
    matrices = [matrices_of(read_pairs(path)) for path in args.pairs]
    tables = [(each, read_question_counts(path, each)) for each, path in zip(matrices, args.question_counts, strict=True)]
    write_json(args.output, {"meta": describe_run("compare_seeds"), **compare_seeds(runs, tables)})


if __name__ == "__main__":
    run_program(main)
