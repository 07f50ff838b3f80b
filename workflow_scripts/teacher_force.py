"""Read the base model's own replies with a model and write how likely it finds the marker in them; nothing is sampled."""

from persona_leakage.behaviours.marker import read_marker
from persona_leakage.behaviours.marker_log_probability import choose_replies, place_marker, score_record, scores_of_all, summarise_records
from persona_leakage.config.blocks.fields import Count, Precision, Text
from persona_leakage.config.blocks.settings import Prompts
from persona_leakage.config.blocks.training_data import Join
from persona_leakage.config.program_options import prompts_parser
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import check_digest, read_json, read_jsonl_gz, sha256_of_file, write_json, write_jsonl_gz
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.models.adapter_files import add_adapter_options, read_adapter, read_base
from persona_leakage.models.loading import load_tokenizer, read_manifest
from persona_leakage.models.prompts import build_prompts
from persona_leakage.models.reading import prepare_reading


class Settings(Prompts):
    """The parts of the config that decide the probabilities. draws: None reads all replies."""

    draws: Count | None
    marker: Text
    separator: str
    join: Join
    precision: Precision
    merge_adapter: bool | None = None


def read_replies(args, tokenizer, completions_sha256):
    """[(record, prompt ids)] of the replies to read, from the completions file after checking that it is whole."""
    check_digest(args.completions, completions_sha256, args.completions_meta)
    prompts = build_prompts(tokenizer, args.personas, args.questions, args.settings)
    return choose_replies(read_jsonl_gz(args.completions), prompts, args.settings.draws)


def tail_length(separator, marker):
    """Tokens that are read after a reply."""
    return 0 if separator is None else len(separator) + len(marker.own_ids)


def main(argv=None):
    """Write teacher_forced.jsonl.gz (a record per reply) and teacher_forced.json (means per persona and question)."""
    paths = ("completions", "completions-meta", "records", "output")
    parser = prompts_parser("teacher_force", __doc__, *paths, settings=Settings, chunk=(2048, "replies"))
    add_adapter_options(parser, base="teacher_forced.jsonl.gz and .json")
    args = parser.parse_args(argv)
    adapter = read_adapter(parser, args)
    settings, manifest = args.settings, read_manifest(args.model)
    tokenizer = load_tokenizer(manifest["folder"])
    marker = read_marker(tokenizer, settings.marker, settings.separator)
    completions_sha256 = read_json(args.completions_meta, "sample_completions")["sha256"]
    chosen = read_replies(args, tokenizer, completions_sha256)
    base = read_base(args, "teacher_force", "completions", completions_sha256)[0] if adapter else [None] * len(chosen)
    replies = [(tuple(ids), *place_marker(tokenizer, record, marker, settings.join)) for record, ids in chosen]
    load, facts, identity = prepare_reading(manifest, adapter, settings.precision, settings.merge_adapter)
    scores, memory = scores_of_all(load, replies, marker, identity, args.restart, args.chunk_size)
    records = [score_record(record, score, known) for (record, _), score, known in zip(chosen, scores, base, strict=True)]
    write_jsonl_gz(args.records, records)
    ids = {"marker_ids": list(marker.own_ids), "separator_ids": list(marker.separator_ids)}
    told = {"state": args.state, "draws": settings.draws, "completions_sha256": completions_sha256, "join": settings.join}
    meta = describe_run("teacher_force", **told, **ids, **facts, out_of_memory=memory)
    content = {
        "meta": meta,
        "replies": len(records),
        "cut": sum(separator is None for _, _, separator in replies),
        "tokens": sum(len(prompt) + len(reply) + tail_length(separator, marker) for prompt, reply, separator in replies),
        "sha256": sha256_of_file(args.records),
        "personas": summarise_records(records, settings.personas.names),
    }
    write_json(args.output, content)


if __name__ == "__main__":
    run_program(main)
