"""Sample the replies of every panel persona, with a source's adapter or, as the control, without."""

from pathlib import Path

from persona_leakage.engines import sample_all
from persona_leakage.errors import run_program
from persona_leakage.files import check_digest, read_json, sha256_of_file, write_json, write_jsonl_gz
from persona_leakage.generation import make_requests
from persona_leakage.lora import WEIGHTS
from persona_leakage.model_loading import load_tokenizer, read_manifest
from persona_leakage.options import new_parser
from persona_leakage.prompts import build_prompts
from persona_leakage.provenance import describe_run


def main(argv=None):
    """Write completions.jsonl.gz (text, token ids, finish reason, seed of each reply) and completions.json (meta, digest)."""
    parser = new_parser("sample_completions", __doc__, "model", "personas", "questions", "restart", "output", "meta")
    parser.add_argument("--state", required=True, help="what is sampled: base, or source/seed; enters the seeds")
    parser.add_argument("--adapter", help="folder of the adapter (default: none, the base model)", metavar="PATH")
    parser.add_argument("--adapter-metrics", help="metrics.json of that adapter", metavar="PATH")
    args = parser.parse_args(argv)
    if bool(args.adapter) != bool(args.adapter_metrics):
        parser.error("--adapter and --adapter-metrics go together")
    settings = args.settings
    manifest = read_manifest(args.model)
    prompts = build_prompts(load_tokenizer(manifest["folder"]), args.personas, args.questions, settings)
    seed_parts = (settings["seed"], "evaluation", settings["sampling_seed"], args.state)
    requests = make_requests(prompts, settings["draws"], seed_parts)
    adapter = None
    if args.adapter:
        adapter = (args.adapter, read_json(args.adapter_metrics)["adapter_sha256"])
        check_digest(Path(args.adapter) / WEIGHTS, adapter[1], args.adapter_metrics)
    label = f"replies {args.state}"
    records, facts = sample_all(manifest, requests, settings["sampling"], settings["engine"], args.restart, label, adapter)
    write_jsonl_gz(args.output, records)
    write_json(
        args.meta,
        {
            "meta": describe_run(
                "sample_completions", seed=settings["seed"], sampling_seed=settings["sampling_seed"], state=args.state, **facts
            ),
            "replies": len(records),
            "tokens": sum(len(record["token_ids"]) for record in records),
            "sha256": sha256_of_file(args.output),
        },
    )


if __name__ == "__main__":
    run_program(main)
