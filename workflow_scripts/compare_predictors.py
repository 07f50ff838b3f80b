"""Set the cosine against other predictors of leakage over one pairs table: a table with paired intervals."""

from persona_leakage.config.blocks.analysis import Resamples
from persona_leakage.config.blocks.settings import Headline
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import check_digests, sha256_of_file, write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.statistics.comparisons.predictors import compare_predictors
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.tables.question_counts import read_question_counts
from persona_leakage.tables.read import choose_layer, pairs_parser, read_checked_pairs


class Settings(Headline, Resamples):
    """The parts of the config that decide the comparison."""


def main(argv=None):
    """Write predictors.json. The same tables give the same numbers."""
    parser = pairs_parser("compare_predictors", __doc__, settings=Settings)
    parser.add_argument("--question-counts", metavar="PATH", help="question_counts.csv: adds the choice of questions to the uncertainty")
    args = parser.parse_args(argv)
    if args.tables and args.question_counts:
        check_digests([args.question_counts], args.tables)
    table = read_checked_pairs(args)
    layer, matrices = choose_layer(table, args), matrices_of(table)
    counts = read_question_counts(args.question_counts, matrices) if args.question_counts else None
    options = args.settings.model_dump(include=set(Resamples.model_fields))
    result = compare_predictors(matrices, layer, options, counts)
    meta = describe_run("compare_predictors", pairs_sha256=sha256_of_file(args.pairs), **options)
    write_json(args.output, {"meta": meta, "headline_layer": layer, **result})


if __name__ == "__main__":
    run_program(main)
