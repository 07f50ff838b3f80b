"""Set the cosine against other predictors of leakage over one pairs table: a league table with paired intervals."""

from persona_leakage.errors import InputError, run_program
from persona_leakage.files import check_digests, read_json, sha256_of_file, write_json
from persona_leakage.league import describe_league
from persona_leakage.pair_matrices import matrices_of
from persona_leakage.pairs_file import choose_layer, pairs_parser, read_checked_pairs
from persona_leakage.provenance import describe_run
from persona_leakage.side_tables import read_question_counts

DEFAULT_OPTIONS = {"permutations": 10_000, "bootstraps": 2_000}


def main(argv=None):
    """Write predictors.json. The same tables give the same numbers."""
    parser = pairs_parser("compare_predictors", __doc__)
    parser.add_argument("--question-counts", metavar="PATH", help="question_counts.csv: adds the choice of questions to the uncertainty")
    parser.add_argument("--divergence", metavar="PATH", help="divergence.json: adds the similarity of the base model's next tokens")
    args = parser.parse_args(argv)
    if args.tables and args.question_counts:
        check_digests([args.question_counts], args.tables)
    table = read_checked_pairs(args)
    layer, matrices = choose_layer(table, args), matrices_of(table)
    counts = read_question_counts(args.question_counts, matrices) if args.question_counts else None
    options = {name: args.settings.get(name, default) for name, default in DEFAULT_OPTIONS.items()}
    result = describe_league(matrices, layer, options, counts, read_divergence(args.divergence))
    meta = describe_run("compare_predictors", pairs_sha256=sha256_of_file(args.pairs), **options)
    write_json(args.output, {"meta": meta, "headline_layer": layer, **result})


def read_divergence(path):
    """{source: {persona: bits}} of a divergence.json, or None without one; InputError if a value is no number from 0 to 1."""
    if path is None:
        return None
    content = read_json(path)
    try:
        values = [(f"{source}.{name}", value) for source, others in content["divergence"].items() for name, value in others.items()]
        for place, value in values:
            if isinstance(value, bool) or not 0 <= value <= 1:
                raise InputError(f"{path}: divergence.{place} is {value!r}; it must be a number from 0 to 1")
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: must hold divergence: for each source a number for each other persona") from None
    return content["divergence"]


if __name__ == "__main__":
    run_program(main)
