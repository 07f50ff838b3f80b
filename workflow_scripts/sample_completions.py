"""Sample the replies of every panel persona, with the adapters of one or several sources or, as the control, without."""

from persona_leakage.config.blocks.engine import AnyEngine
from persona_leakage.config.blocks.fields import Count, Seed
from persona_leakage.config.blocks.sampling import Sampling
from persona_leakage.config.blocks.settings import Prompts
from persona_leakage.config.program_options import add_chunk_size, new_parser
from persona_leakage.inference.engine import SamplingTask, sample_all
from persona_leakage.inference.requests import make_requests
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import sha256_of_file, write_json, write_jsonl_gz
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.models.adapter_files import add_adapter_options, read_adapters
from persona_leakage.models.loading import load_tokenizer, read_manifest
from persona_leakage.models.prompts import build_prompts


class Settings(Prompts):
    """The parts of the config that decide the replies."""

    seed: Seed
    draws: Count
    sampling_seed: Seed
    sampling: Sampling
    engine: AnyEngine


def main(argv=None):
    """For each state write completions.jsonl.gz (text, token ids, finish reason and seed of each reply) and completions.json (meta)."""
    parser = new_parser("sample_completions", __doc__, "model", "personas", "questions", "restart", settings=Settings)
    for option, text in (
        ("state", "what is sampled: base, or source/seed; enters the seeds"),
        ("output", "completions.jsonl.gz of each state"),
        ("meta", "completions.json of each state"),
    ):
        parser.add_argument(f"--{option}", nargs="+", required=True, help=text)
    add_adapter_options(parser, "each state")
    add_chunk_size(parser, 450, "replies")
    args = parser.parse_args(argv)
    if len({len(values) for values in (args.state, args.output, args.meta)}) > 1:
        parser.error("--state, --output and --meta need equally many values")
    if not args.adapter and len(args.state) > 1:
        parser.error("--state: without --adapter there is one state, the base model")
    adapters = read_adapters(parser, args, args.state)
    settings = args.settings
    manifest = read_manifest(args.model)
    prompts = build_prompts(load_tokenizer(manifest["folder"]), args.personas, args.questions, settings)
    tasks = []
    for state, adapter in zip(args.state, adapters, strict=True):
        seed_parts = (settings.seed, "evaluation", settings.sampling_seed, state)
        tasks.append(SamplingTask(f"replies {state}", make_requests(prompts, settings.draws, seed_parts), adapter))
    earlier_seconds = 0
    outcomes = sample_all(
        manifest, tasks, settings.sampling.model_dump(), settings.engine.model_dump(), args.chunk_size, args.restart, "evaluation"
    )
    for state, output, meta_path, (records, facts) in zip(args.state, args.output, args.meta, outcomes, strict=True):
        write_jsonl_gz(output, records)
        meta = describe_run("sample_completions", seed=settings.seed, sampling_seed=settings.sampling_seed, state=state, **facts)
        meta["wall_seconds"], earlier_seconds = round(meta["wall_seconds"] - earlier_seconds, 2), meta["wall_seconds"]
        tokens = sum(len(record["token_ids"]) for record in records)
        write_json(meta_path, {"meta": meta, "replies": len(records), "tokens": tokens, "sha256": sha256_of_file(output)})


if __name__ == "__main__":
    run_program(main)
