"""Let the base model answer the training questions as each training persona."""

from persona_leakage.config.blocks.engine import SamplingEngine
from persona_leakage.config.blocks.settings import SampledPrompts
from persona_leakage.config.program_options import sampling_parser
from persona_leakage.inference.engine import prepare_engine, sample_all
from persona_leakage.inference.requests import make_requests
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import sha256_of_file, write_json, write_jsonl_gz
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.models.loading import load_tokenizer, read_manifest
from persona_leakage.models.prompts import build_prompts


class Settings(SampledPrompts):
    """The parts of the config that decide the training answers."""

    engine: SamplingEngine


def main(argv=None):
    """Write pool.jsonl.gz (a record per answer, token ids kept) and pool.json (what it depends on, its digest)."""
    parser = sampling_parser("sample_training_pool", __doc__, "output", "meta", settings=Settings)
    args = parser.parse_args(argv)
    settings = args.settings
    sampling, engine = settings.sampling.model_dump(), settings.engine.model_dump()
    prepare_engine(engine)
    manifest = read_manifest(args.model)
    prompts = build_prompts(load_tokenizer(manifest["folder"]), args.personas, args.questions, settings)
    requests = make_requests(prompts, settings.draws, (settings.seed, "training pool"))
    records, facts = sample_all(
        manifest, requests, None, sampling, engine, args.chunk_size, args.restart, "training pool", "training_data", args.lora_rank
    )
    write_jsonl_gz(args.output, records)
    write_json(
        args.meta,
        {
            "meta": describe_run("sample_training_pool", seed=settings.seed, **facts),
            "answers": len(records),
            "cut_at_limit": sum(record["finish_reason"] == "length" for record in records),
            "sha256": sha256_of_file(args.output),
        },
    )


if __name__ == "__main__":
    run_program(main)
