"""How stable are the correlations and the leakage when the adapters are trained again, and how much of it is sampling?"""

from persona_leakage.config.program_options import new_parser
from persona_leakage.infrastructure.cli import InputError, run_program
from persona_leakage.infrastructure.files import check_digest, read_json, write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.statistics.comparisons.training_seeds import compare_seeds
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.tables.question_counts import read_question_counts
from persona_leakage.tables.read import read_pairs


def main(argv=None):
    """Write seeds.json."""
    parser = new_parser("compare_seeds", __doc__, "output")
    parser.add_argument(
        "--correlations", nargs="+", required=True, metavar="PATH", help="correlation.json of runs that differ in their seeds only"
    )
    parser.add_argument("--pairs", nargs="*", default=[], metavar="PATH", help="pairs.csv of each run; tells the part of sampling")
    parser.add_argument("--question-counts", nargs="*", default=[], metavar="PATH", help="question_counts.csv of each run, with --pairs")
    args = parser.parse_args(argv)
    if {len(args.pairs), len(args.question_counts)} not in ({0}, {len(args.correlations)}):
        parser.error("--pairs and --question-counts: give both for each of --correlations, in the same order, or neither")
    runs = {path: read_json(path, "correlate_leakage") for path in args.correlations}
    tables = dict.fromkeys(runs)
    for (path, run), pairs, counts in zip(runs.items(), args.pairs, args.question_counts, strict=False):
        tables[path] = read_tables(path, run, pairs, counts)
    write_json(args.output, {"meta": describe_run("compare_seeds"), **compare_seeds(runs, tables)})


def read_tables(path, run, pairs, question_counts):
    """(PairMatrices, counts) of a run; InputError if its correlations are of another pairs table."""
    known = run.get("meta", {}).get("pairs_sha256")
    if known is None:
        raise InputError(f"{path}: meta has no pairs_sha256")
    check_digest(pairs, known, path)
    matrices = matrices_of(read_pairs(pairs))
    return matrices, read_question_counts(question_counts, matrices)


if __name__ == "__main__":
    run_program(main)
