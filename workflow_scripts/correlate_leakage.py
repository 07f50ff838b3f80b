"""Correlate cosine with leakage over the pairs table."""

from persona_leakage.correlation import correlate_pairs
from persona_leakage.errors import InputError, run_program
from persona_leakage.files import digest_of, read_json, sha256_of_file, write_json
from persona_leakage.options import new_parser
from persona_leakage.pairs import read_pairs
from persona_leakage.provenance import LAYER_CONVENTION, describe_run


def main(argv=None):
    """Write correlation.json: for every layer per source, pooled, per category of the bystander, relatives only."""
    parser = new_parser("correlate_leakage", __doc__, "pairs", "marker-eval", "output")
    args = parser.parse_args(argv)
    settings = args.settings
    table = read_pairs(args.pairs)
    headline = settings["headline_layer"]
    if headline not in set(table["layer"]):
        raise InputError(f"geometry.headline_layer: {headline} is not a layer of {args.pairs}: {sorted(set(table['layer']))}")
    sampled = read_json(args.marker_eval)["meta"]
    panel = sorted({*table["persona"], *table["source"]})
    meta = describe_run(
        "correlate_leakage",
        layer_convention=LAYER_CONVENTION,
        bank={"personas": len(panel), "digest": digest_of(panel)},
        pairs_sha256=sha256_of_file(args.pairs),
        training_seed=settings["training_seed"],
        **{key: sampled[key] for key in ("model", "engine", "sampling", "seed", "sampling_seed", "behaviour", "detector")},
    )
    write_json(args.output, {"meta": meta, **correlate_pairs(table, headline, settings["min_category_size"])})


if __name__ == "__main__":
    run_program(main)
