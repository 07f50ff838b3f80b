"""Tell role from wording, over a panel whose roles have several wordings."""

from persona_leakage.config.selections import chosen_personas
from persona_leakage.infrastructure.cli import new_parser, run_program
from persona_leakage.infrastructure.files import check_digests, write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.statistics.comparisons.paraphrases import describe_wordings
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.tables.question_counts import read_cosine_rows, read_question_counts
from persona_leakage.tables.read import read_pairs


def main(argv=None):
    """Write wordings.json."""
    parser = new_parser("describe_wordings", __doc__, "personas", "pairs", "cosines", "question-counts", "tables", "output")
    args = parser.parse_args(argv)
    settings = args.settings
    known = [persona for persona in chosen_personas(args.personas, settings["personas"]) if persona.role]
    check_digests([args.pairs, args.cosines, args.question_counts], args.tables)
    layer, table, cosines = settings["headline_layer"], read_pairs(args.pairs), read_cosine_rows(args.cosines)
    table = table[table["layer"] == layer]
    described = describe_wordings(
        table,
        cosines[cosines["layer"] == layer],
        {persona.name: persona.role for persona in known},
        {persona.name: persona.wording for persona in known},
        settings,
        read_question_counts(args.question_counts, matrices_of(table)),
    )
    write_json(args.output, {"meta": describe_run("describe_wordings"), "headline_layer": layer, **described})


if __name__ == "__main__":
    run_program(main)
