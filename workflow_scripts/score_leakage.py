"""Count the marker in every persona's replies."""

from persona_leakage.behaviours.marker import read_marker
from persona_leakage.behaviours.scoring import score_replies, summarise_cells
from persona_leakage.config.selections import chosen_personas
from persona_leakage.infrastructure.cli import new_parser, run_program
from persona_leakage.infrastructure.files import check_digest, read_json, read_jsonl_gz, write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.models.loading import load_tokenizer, read_manifest


def main(argv=None):
    """Write marker_eval.json (a cell per persona) and summary.json (the source against its bystanders)."""
    parser = new_parser("score_leakage", __doc__, "model", "personas", "completions", "completions-meta", "marker-eval", "summary")
    parser.add_argument("--source", help="the persona that was trained (default: none, the base model)")
    args = parser.parse_args(argv)
    personas = chosen_personas(args.personas, args.settings["personas"])
    behaviour = args.settings["behaviour"]
    marker = read_marker(load_tokenizer(read_manifest(args.model)["folder"]), behaviour["marker"], behaviour["separator"])
    sampled = read_json(args.completions_meta)
    check_digest(args.completions, sampled["sha256"], args.completions_meta)
    kept = ("seed", "sampling_seed", "state", "model", "engine", "sampling", "adapter_sha256")
    meta = describe_run(
        "score_leakage",
        behaviour=behaviour,
        marker_ids=list(marker.marker_ids),
        detector=behaviour["detector"],
        completions_sha256=sampled["sha256"],
        **{key: sampled["meta"][key] for key in kept},
    )
    cells = score_replies(read_jsonl_gz(args.completions), marker, personas, behaviour["detector"])
    write_json(args.marker_eval, {"meta": meta, "personas": cells})
    summary = {"meta": meta, **summarise_cells(cells, args.source), "wall_seconds": sampled["meta"]["wall_seconds"]}
    write_json(args.summary, summary)


if __name__ == "__main__":
    run_program(main)
