"""Count how many of every persona's replies show the behaviour."""

from pathlib import Path

from persona_leakage.behaviours.base import read_behaviour
from persona_leakage.behaviours.scoring import read_completions, score_replies, summarise_cells
from persona_leakage.config.blocks.behaviour import Behaviour
from persona_leakage.config.blocks.fields import Block
from persona_leakage.config.blocks.settings import PersonaSelection
from persona_leakage.config.program_options import new_parser
from persona_leakage.config.selections import chosen_personas
from persona_leakage.infrastructure.cli import InputError, run_program
from persona_leakage.infrastructure.files import check_digest, read_json, write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.models.loading import read_manifest
from persona_leakage.models.tokenizer_checks import PlainTokenizer


class Settings(Block):
    """The parts of the config that decide the scores."""

    behaviour: Behaviour
    personas: PersonaSelection


def check_judgements(path, completions_sha256):
    """InputError unless the judgements that judgements.json describes are whole and of these replies."""
    judged = read_json(path, "judge_replies")
    check_digest(Path(path).with_name("judgements.jsonl.gz"), judged["sha256"], path)
    if judged["completions_sha256"] != completions_sha256:
        raise InputError(f"{path}: judges other replies; delete it and rerun")


def main(argv=None):
    """Write marker_eval.json (a cell per persona) and summary.json (the source against its bystanders)."""
    parser = new_parser(
        "score_leakage", __doc__, "model", "personas", "completions", "completions-meta", "cells", "summary", settings=Settings
    )
    parser.add_argument("--source", help="the persona that was trained (default: none, the base model)")
    parser.add_argument("--judgements-meta", metavar="PATH", help="judgements.json, where a model judged the replies; its records are read")
    args = parser.parse_args(argv)
    personas = chosen_personas(args.personas, args.settings.personas.model_dump())
    block = args.settings.behaviour.model_dump()
    behaviour = read_behaviour(block, PlainTokenizer(read_manifest(args.model)["folder"]))
    sampled = read_json(args.completions_meta, "sample_completions")
    check_digest(args.completions, sampled["sha256"], args.completions_meta)
    if args.judgements_meta:
        check_judgements(args.judgements_meta, sampled["sha256"])
    kept = ("seed", "sampling_seed", "state", "model", "engine", "sampling", "adapter_sha256")
    meta = describe_run(
        "score_leakage",
        behaviour=block,
        **behaviour.facts(),
        completions_sha256=sampled["sha256"],
        **{key: sampled["meta"][key] for key in kept},
    )
    cells = score_replies(read_completions(args.completions, block), behaviour, personas)
    write_json(args.cells, {"meta": meta, "personas": cells})
    summary = {"meta": meta, **summarise_cells(cells, args.source, behaviour), "wall_seconds": sampled["meta"]["wall_seconds"]}
    write_json(args.summary, summary)


if __name__ == "__main__":
    run_program(main)
