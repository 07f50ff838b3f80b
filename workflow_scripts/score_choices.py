"""Ask a model the multiple-choice items as every persona and write how likely it finds each option; nothing is sampled."""

from persona_leakage.behaviours.base import read_behaviour
from persona_leakage.behaviours.choice_items import check_item_texts, read_parts
from persona_leakage.behaviours.choice_log_probability import log_probabilities_of_all
from persona_leakage.behaviours.choice_records import ask_items, make_records
from persona_leakage.behaviours.choice_scoring import add_gains, describe_loss
from persona_leakage.behaviours.scoring import score_replies, summarise_cells
from persona_leakage.config.blocks.behaviours.choice import Settings as Choice
from persona_leakage.config.blocks.fields import Block, Precision
from persona_leakage.config.blocks.settings import PersonaSelection
from persona_leakage.config.program_options import new_parser
from persona_leakage.config.selections import chosen_personas
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import sha256_of_file, write_json, write_jsonl_gz
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.models.adapter_files import add_adapter_options, read_adapter, read_base
from persona_leakage.models.chat_template import prompt_lengths
from persona_leakage.models.loading import load_chat_format, load_tokenizer, read_manifest
from persona_leakage.models.reading import prepare_reading


class Settings(Block):
    """The parts of the config that decide the log-probabilities and the cells."""

    behaviour: Choice
    personas: PersonaSelection
    precision: Precision
    merge_adapter: bool | None = None


def main(argv=None):
    """Write items.jsonl.gz (a record per persona and item), cells.json (a cell per persona) and summary.json (the source, the panel)."""
    paths = ("model", "personas", "items", "restart", "records", "cells", "summary")
    parser = new_parser("score_choices", __doc__, *paths, settings=Settings, chunk=(2048, "prompts"))
    parser.add_argument("--source", help="the persona that was trained (default: none, the base model)")
    add_adapter_options(parser, base="items.jsonl.gz and cells.json")
    args = parser.parse_args(argv)
    adapter = read_adapter(parser, args)
    settings, manifest = args.settings, read_manifest(args.model)
    tokenizer, block = load_tokenizer(manifest["folder"]), settings.behaviour.model_dump()
    behaviour = read_behaviour(block, tokenizer)
    personas = chosen_personas(args.personas, settings.personas.model_dump())
    prompt_lengths(tokenizer, personas)
    items = read_parts(args.items, block["train"], block["evaluate"])["evaluate"]
    check_item_texts(tokenizer, items, args.items)
    items_sha256 = sha256_of_file(args.items)
    base_records, base_cells = read_base(args, "score_choices", "items", items_sha256) if adapter else (None, None)
    asked = ask_items(tokenizer, load_chat_format(manifest).end_id, personas, items, block)
    load, facts, identity = prepare_reading(manifest, adapter, settings.precision, settings.merge_adapter)
    logs, memory = log_probabilities_of_all(load, asked.queries, identity, args.restart, args.chunk_size)
    records = make_records(asked, logs)
    cells = score_replies(records, behaviour, personas)
    if adapter:
        cells = add_gains(cells, base_cells["personas"])
    write_jsonl_gz(args.records, records)
    meta = describe_run(
        "score_choices",
        state=args.state,
        behaviour=block,
        items_sha256=items_sha256,
        letters_undefined=asked.without_letters,
        **facts,
        out_of_memory=memory,
    )
    write_json(args.cells, {"meta": meta, "sha256": sha256_of_file(args.records), "personas": cells})
    loss = describe_loss(own(records, args.source), own(base_records, args.source), block["scoring"]) if adapter and args.source else None
    summary = {"meta": meta, **summarise_cells(cells, args.source, behaviour), "loss": loss, "wall_seconds": meta["wall_seconds"]}
    write_json(args.summary, summary)


def own(records, source):
    """The records of one persona."""
    return [record for record in records if record["persona"] == source]


if __name__ == "__main__":
    run_program(main)
