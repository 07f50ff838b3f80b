"""Join cosines and leakage into tidy tables: pairs of source and bystander, and next to them all cosines and the counts per question."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from persona_leakage.behaviours.base import CELLS_BY, GAINS_BY, SAME_ITEMS_BY
from persona_leakage.config.blocks.fields import Block, Names, Text
from persona_leakage.config.blocks.settings import PersonaSelection
from persona_leakage.config.blocks.training_data import Control
from persona_leakage.config.program_options import new_parser
from persona_leakage.config.selections import chosen_personas
from persona_leakage.geometry.centroid_files import read_centroids
from persona_leakage.geometry.cosine import cosine_matrix
from persona_leakage.geometry.divergence_table import read_divergences
from persona_leakage.geometry.prompt_similarity import text_similarities
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import atomic_path, check_digests, read_json, sha256_of_file, write_json
from persona_leakage.infrastructure.provenance import SCHEMA_VERSION
from persona_leakage.tables.build import add_controls, add_pairings, errors_of, tabulate_pairs
from persona_leakage.tables.mean_scores import add_means
from persona_leakage.tables.question_counts import tabulate_cosines, tabulate_questions


class Settings(Block):
    """The parts of the config that decide the tables. mean_score: the direction, if leakage is of mean scores."""

    sources: Names
    personas: PersonaSelection
    embedding_model: Text | None = None
    controls: list[Control] = Field([])
    mean_score: Literal["high", "low"] | None = None


def main(argv=None):
    """Write pairs.csv, cosines.csv, question_counts.csv, and tables.json (the digests of the three)."""
    files = ("personas", "centroids-meta", "base-eval", "output", "cosines", "question-counts", "tables")
    parser = new_parser("tabulate_pairs", __doc__, *files, settings=Settings)
    parser.add_argument("--centroids", nargs="+", required=True, metavar="PATH", help="centroid files, one per layer")
    parser.add_argument("--cells", nargs="+", required=True, metavar="PATH", help="marker_eval.json or cells.json of each source")
    parser.add_argument("--manifests", nargs="+", required=True, metavar="PATH", help="training manifest of each source")
    parser.add_argument(
        "--forced", nargs="*", default=[], metavar="PATH", help="teacher_forced.json or cells.json of each source, if measured"
    )
    parser.add_argument("--divergence", metavar="PATH", help="divergence.json: adds the columns js_source_replies and js_bystander_replies")
    parser.add_argument("--controls", nargs="*", default=[], metavar="PATH", help="the cells of each source's adapters of each control")
    args = parser.parse_args(argv)
    sources, embedding_model = args.settings.sources, args.settings.embedding_model
    prompts = [persona.prompt for persona in chosen_personas(args.personas, args.settings.personas.model_dump())]
    check_digests(args.centroids, args.centroids_meta)
    layers = {content["layer"]: content for content in (read_centroids(path, "prompt_tokens") for path in args.centroids)}
    evaluations = read_each(sources, args.cells, CELLS_BY, "personas")
    forced = read_each(sources, args.forced, GAINS_BY, "personas") if args.forced else None
    named = zip([(control, source) for control in args.settings.controls for source in sources], args.controls, strict=True)
    controls = {}
    for (control, source), path in named:
        controls.setdefault(control, {})[source] = read_json(path, CELLS_BY)["personas"]
    negatives = read_each(sources, args.manifests, "build_training_set", "negatives")
    similarities = text_similarities(prompts)
    if embedding_model:
        from persona_leakage.geometry.prompt_similarity import embedding_similarities  # takes seconds to import

        similarities["embedding_similarity"] = embedding_similarities(embedding_model, prompts)
    names = args.settings.personas.names
    if args.divergence:
        similarities |= read_divergences(args.divergence, names, sources)
    base = read_json(args.base_eval, CELLS_BY)
    pairs = tabulate_pairs(layers, evaluations, base["personas"], negatives, similarities, forced)
    pairs = add_controls(pairs, evaluations, controls)
    if base["meta"]["program"] in SAME_ITEMS_BY:
        pairs = add_pairings(pairs, evaluations, base["personas"], controls)
    direction = args.settings.mean_score
    if direction:
        pairs = add_means(pairs, evaluations, base["personas"], direction, errors_of)
    cosines = {layer: cosine_matrix(geometry["centroids"], centred=True) for layer, geometry in layers.items()}
    write_csv(args.output, pairs)
    write_csv(args.cosines, tabulate_cosines(names, cosines))
    write_csv(args.question_counts, tabulate_questions(evaluations, forced, direction is not None))
    digests = {Path(path).name: sha256_of_file(path) for path in (args.output, args.cosines, args.question_counts)}
    write_json(args.tables, {"schema_version": SCHEMA_VERSION, "sha256": digests})


def read_each(sources, paths, program, key):
    """{source: what its result file, written by ``program``, has under ``key``}."""
    return {source: read_json(path, program)[key] for source, path in zip(sources, paths, strict=True)}


def write_csv(path, table):
    """Write a DataFrame without its index, with the same bytes on every system."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", na_rep="nan")


if __name__ == "__main__":
    run_program(main)
