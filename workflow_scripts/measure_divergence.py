"""Measure how far the base model's next tokens as a source and as another persona lie apart, along the replies of either."""

from persona_leakage.config.blocks.analysis import Divergence
from persona_leakage.config.blocks.fields import Names, Precision
from persona_leakage.config.blocks.settings import Prompts
from persona_leakage.config.program_options import prompts_parser
from persona_leakage.geometry.divergence_table import BYSTANDER_REPLIES, SOURCE_REPLIES, mean_divergences
from persona_leakage.geometry.next_token_divergence import Comparison, measure_all
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import check_digest, read_json, read_jsonl_gz, write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.models.loading import load_model, load_tokenizer, model_facts, pick_device, pick_precision, read_manifest, surroundings
from persona_leakage.models.prompts import build_prompts


class Settings(Prompts):
    """The parts of the config that decide the divergences."""

    sources: Names
    divergence: Divergence
    precision: Precision


def main(argv=None):
    """Write divergence.json: the mean divergences in bits of each source and other persona (see divergence_table)."""
    parser = prompts_parser(
        "measure_divergence", __doc__, "completions", "completions-meta", "output", settings=Settings, chunk=(512, "comparisons")
    )
    args = parser.parse_args(argv)
    settings, sampled = args.settings, read_json(args.completions_meta, "sample_completions")
    check_digest(args.completions, sampled["sha256"], args.completions_meta)
    manifest = read_manifest(args.model)
    prompts = build_prompts(load_tokenizer(manifest["folder"]), args.personas, args.questions, settings)
    replies = first_replies(read_jsonl_gz(args.completions), **settings.divergence.model_dump())
    work = comparisons_of({(persona, question): tuple(ids) for persona, question, ids in prompts}, replies, settings.sources)
    device = pick_device()
    dtype = pick_precision(settings.precision, device)
    identity = [model_facts(manifest), *surroundings(dtype, device)]
    found, memory = measure_all(
        lambda: load_model(manifest, dtype, device), [item for *_, item in work], identity, args.restart, args.chunk_size
    )
    divergence, positions = mean_divergences(work, found)
    meta = describe_run(
        "measure_divergence",
        model=model_facts(manifest),
        precision=str(dtype).removeprefix("torch."),
        completions_sha256=sampled["sha256"],
        out_of_memory=memory,
        **settings.divergence.model_dump(),
    )
    write_json(args.output, {"meta": meta, "unit": "bits", "positions": positions, "divergence": divergence})


def first_replies(records, replies_per_question, tokens):
    """{(persona, question): [first ids of a reply]}: as many as it takes to compare ``tokens`` next tokens, its end included."""
    replies = {}
    for record in records:
        if record["index"] < replies_per_question:
            replies.setdefault((record["persona"], record["question"]), []).append(tuple(record["token_ids"][: tokens - 1]))
    return replies


def comparisons_of(prompts, replies, sources):
    """[(column, source, persona, Comparison)] of each source and every other persona, along the replies of the one and of the other.

    prompts: {(persona, question): ids}; replies: as first_replies; column: see divergence_table.
    """
    work = []
    for source in sources:
        for persona, question in prompts:
            if persona == source:
                continue
            for column, speaker, other in ((SOURCE_REPLIES, source, persona), (BYSTANDER_REPLIES, persona, source)):
                work += [
                    (column, source, persona, Comparison(prompts[speaker, question], prompts[other, question], reply))
                    for reply in replies[speaker, question]
                ]
    return work


if __name__ == "__main__":
    run_program(main)
