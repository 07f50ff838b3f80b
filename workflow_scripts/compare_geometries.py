"""Compare the base model's geometry with that of the adapted models: which predicts leakage better, and what moves towards the source."""

from pathlib import Path

from persona_leakage.config.blocks.analysis import Resamples
from persona_leakage.config.blocks.fields import Names
from persona_leakage.config.blocks.geometry import Layer
from persona_leakage.config.program_options import new_parser
from persona_leakage.geometry.centroid_files import read_centroids
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import atomic_path, check_digests, read_json, sha256_of_file, write_json
from persona_leakage.infrastructure.provenance import LAYER_CONVENTION, describe_run
from persona_leakage.statistics.comparisons.adapted_geometry import adapted_pairs, compare_geometries, panel_cosines
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.tables.question_counts import read_question_counts
from persona_leakage.tables.read import read_pairs


class Settings(Resamples):
    """The parts of the config that decide the comparison."""

    sources: Names
    headline_layer: Layer


def read_layers(paths, meta):
    """{layer: {"personas", "centroids"}} of the centroid files of one state, after checking their digests."""
    check_digests(paths, meta)
    return {content["layer"]: content for content in map(read_centroids, paths)}


def main(argv=None):
    """Write adapted_geometry.csv (the pairs with cosines and movements) and adapted_geometry.json (docs/optional_analyses.md)."""
    parser = new_parser(
        "compare_geometries", __doc__, "pairs", "tables", "question-counts", "base-meta", "table", "output", settings=Settings
    )
    parser.add_argument("--base", nargs="+", required=True, metavar="PATH", help="centroid files of the base model, one per layer")
    parser.add_argument(
        "--adapted-meta",
        nargs="+",
        required=True,
        metavar="PATH",
        help="centroids.json of each source; its centroid files are in the same folder",
    )
    args = parser.parse_args(argv)
    check_digests([args.pairs, args.question_counts], args.tables)
    pairs = read_pairs(args.pairs)
    counts = read_question_counts(args.question_counts, matrices_of(pairs))
    adapted = {}
    for source, meta in zip(args.settings.sources, args.adapted_meta, strict=True):
        adapted[source] = read_layers([Path(meta).with_name(Path(path).name) for path in args.base], meta)
    base = read_layers(args.base, args.base_meta)
    table, own = adapted_pairs(pairs, base, adapted)
    with atomic_path(args.table) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", na_rep="nan")
    facts = read_json(args.adapted_meta[0], "extract_centroids")["meta"]
    meta = describe_run(
        "compare_geometries",
        model=facts["model"],
        layer_convention=LAYER_CONVENTION,
        bank=facts["bank"],
        table_sha256=sha256_of_file(args.table),
        adapters={
            source: read_json(path, "extract_centroids")["meta"]["adapter_sha256"]
            for source, path in zip(args.settings.sources, args.adapted_meta, strict=True)
        },
    )
    del meta["wall_seconds"]  # the same tables give the same bytes; benchmarks/ has the time
    panels = panel_cosines(matrices_of(pairs).personas, base, adapted)
    result = compare_geometries(table, own, panels, args.settings.model_dump(include=set(Resamples.model_fields)), counts)
    write_json(args.output, {"meta": meta, "headline_layer": args.settings.headline_layer, **result})


if __name__ == "__main__":
    run_program(main)
