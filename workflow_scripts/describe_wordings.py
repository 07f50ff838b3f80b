"""Tell role from wording, over a panel whose roles have several wordings."""

from persona_leakage.errors import run_program
from persona_leakage.files import check_digests, write_json
from persona_leakage.options import new_parser
from persona_leakage.pair_matrices import matrices_of
from persona_leakage.pairs_file import read_pairs
from persona_leakage.provenance import describe_run
from persona_leakage.selections import chosen_personas
from persona_leakage.side_tables import read_cosine_rows, read_question_counts
from persona_leakage.wordings import describe_wordings


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
