"""Sample the replies of every panel persona, with the adapter of a source or by the base model."""

from persona_leakage.config.blocks.engine import AnyEngine
from persona_leakage.config.blocks.fields import Seed
from persona_leakage.config.blocks.settings import SampledPrompts
from persona_leakage.config.program_options import sampling_parser
from persona_leakage.inference.engine import prepare_engine, sample_all
from persona_leakage.inference.requests import make_requests
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import sha256_of_file, write_json, write_jsonl_gz
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.models.adapter_files import add_adapter_options, read_adapter
from persona_leakage.models.loading import load_tokenizer, read_manifest
from persona_leakage.models.prompts import build_prompts


class Settings(SampledPrompts):
    """The parts of the config that decide the replies."""

    sampling_seed: Seed
    engine: AnyEngine


def main(argv=None):
    """Write completions.jsonl.gz (text, token ids, finish reason and seed of each reply) and completions.json (meta)."""
    parser = sampling_parser("sample_completions", __doc__, "output", "meta", settings=Settings)
    add_adapter_options(parser)
    args = parser.parse_args(argv)
    adapter = read_adapter(parser, args)
    settings, state = args.settings, args.state
    sampling, engine = settings.sampling.model_dump(), settings.engine.model_dump()
    prepare_engine(engine)
    manifest = read_manifest(args.model)
    prompts = build_prompts(load_tokenizer(manifest["folder"]), args.personas, args.questions, settings)
    requests = make_requests(prompts, settings.draws, (settings.seed, "evaluation", settings.sampling_seed, state))
    label = f"replies {state}"
    records, facts = sample_all(
        manifest, requests, adapter, sampling, engine, args.chunk_size, args.restart, label, "evaluation", args.lora_rank
    )
    write_jsonl_gz(args.output, records)
    meta = describe_run("sample_completions", seed=settings.seed, sampling_seed=settings.sampling_seed, state=state, **facts)
    tokens = sum(len(record["token_ids"]) for record in records)
    write_json(args.meta, {"meta": meta, "replies": len(records), "tokens": tokens, "sha256": sha256_of_file(args.output)})


if __name__ == "__main__":
    run_program(main)
