"""Separate the effect of a role from that of its paraphrase, over a panel whose roles have several paraphrases."""

from persona_leakage.config.blocks.analysis import Resamples
from persona_leakage.config.blocks.geometry import Layer
from persona_leakage.config.blocks.settings import PersonaSelection
from persona_leakage.config.program_options import new_parser
from persona_leakage.config.selections import chosen_personas
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import check_digests, write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.statistics.comparisons.paraphrases import compare_paraphrases
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.tables.question_counts import read_cosine_rows, read_question_counts
from persona_leakage.tables.read import read_pairs


class Settings(Resamples):
    """The parts of the config that decide the statistics of paraphrases."""

    personas: PersonaSelection
    headline_layer: Layer


def main(argv=None):
    """Write paraphrases.json."""
    parser = new_parser(
        "compare_paraphrases", __doc__, "personas", "pairs", "cosines", "question-counts", "tables", "output", settings=Settings
    )
    args = parser.parse_args(argv)
    settings = args.settings
    known = [persona for persona in chosen_personas(args.personas, settings.personas.model_dump()) if persona.role]
    check_digests([args.pairs, args.cosines, args.question_counts], args.tables)
    layer, table, cosines = settings.headline_layer, read_pairs(args.pairs), read_cosine_rows(args.cosines)
    table = table[table["layer"] == layer]
    described = compare_paraphrases(
        table,
        cosines[cosines["layer"] == layer],
        {persona.name: persona.role for persona in known},
        {persona.name: persona.paraphrase for persona in known},
        settings.model_dump(include=set(Resamples.model_fields)),
        read_question_counts(args.question_counts, matrices_of(table)),
    )
    write_json(args.output, {"meta": describe_run("compare_paraphrases"), "headline_layer": layer, **described})


if __name__ == "__main__":
    run_program(main)
