"""Correlate cosine with leakage over a pairs table: the workflow's own, or any with the columns that --help lists."""

from persona_leakage.correlation import correlate_pairs
from persona_leakage.errors import run_program
from persona_leakage.files import digest_of, read_json, sha256_of_file, write_json
from persona_leakage.pairs_file import choose_layer, pairs_parser, read_pairs
from persona_leakage.provenance import LAYER_CONVENTION, describe_run

FROM_EVALUATION = ("model", "engine", "sampling", "seed", "sampling_seed", "behaviour", "detector")


def main(argv=None):
    """Write correlation.json: for every layer per source, pooled, per category of the bystander, relatives only."""
    parser = pairs_parser("correlate_leakage", __doc__)
    parser.add_argument(
        "--marker-eval", metavar="PATH", help="the base model's marker_eval.json: adds to meta how the replies were sampled"
    )
    args = parser.parse_args(argv)
    table = read_pairs(args.pairs)
    headline = choose_layer(table, args)
    sampled = read_json(args.marker_eval)["meta"] if args.marker_eval else {}
    panel = sorted({*table["persona"], *table["source"]})
    meta = describe_run(
        "correlate_leakage",
        layer_convention=LAYER_CONVENTION,
        bank={"personas": len(panel), "digest": digest_of(panel)},
        pairs_sha256=sha256_of_file(args.pairs),
        training_seed=args.settings.get("training_seed"),
        **{key: sampled.get(key) for key in FROM_EVALUATION},
    )
    write_json(args.output, {"meta": meta, **correlate_pairs(table, headline, args.settings["min_category_size"])})


if __name__ == "__main__":
    run_program(main)
