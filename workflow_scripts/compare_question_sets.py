"""Compare the question sets of one training seed: each set's correlation, and its drop against the first set, paired over bystanders."""

from persona_leakage.config.blocks.analysis import Bootstraps
from persona_leakage.config.blocks.fields import Names
from persona_leakage.config.blocks.geometry import Layer
from persona_leakage.config.program_options import new_parser
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import check_digests, write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.statistics.comparisons.question_sets import compare_question_sets
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.tables.question_counts import read_question_counts
from persona_leakage.tables.read import read_pairs


class Settings(Bootstraps):
    """The parts of the config that decide the comparison."""

    sets: Names
    headline_layer: Layer


def main(argv=None):
    """Write question_sets.json."""
    parser = new_parser("compare_question_sets", __doc__, "output", settings=Settings)
    for option in ("pairs", "question-counts", "tables"):
        parser.add_argument(
            f"--{option}", nargs="+", required=True, metavar="PATH", help="of each question set, in the order of --settings"
        )
    args = parser.parse_args(argv)
    layer, tables, counts = args.settings.headline_layer, {}, {}
    for name, pairs, questions, digests in zip(args.settings.sets, args.pairs, args.question_counts, args.tables, strict=True):
        check_digests([pairs, questions], digests)
        table = read_pairs(pairs)
        tables[name] = table[table["layer"] == layer]
        counts[name] = read_question_counts(questions, matrices_of(tables[name]))
    compared = compare_question_sets(tables, counts, args.settings.bootstraps)
    write_json(args.output, {"meta": describe_run("compare_question_sets"), "headline_layer": layer, **compared})


if __name__ == "__main__":
    run_program(main)
