"""Build a source's training rows: its answers with the behaviour, the negatives' answers without."""

from functools import partial

from persona_leakage.behaviours.base import read_behaviour
from persona_leakage.config.blocks.fields import Count, Seed
from persona_leakage.config.blocks.settings import Prompts
from persona_leakage.config.blocks.training_data import Join, Labels, TruncatedAnswers
from persona_leakage.config.program_options import new_parser
from persona_leakage.infrastructure.cli import InputError, run_program
from persona_leakage.infrastructure.files import (
    check_digest,
    digest_of,
    read_json,
    read_jsonl_gz,
    sha256_of_file,
    write_json,
    write_jsonl_gz,
)
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.models.limits import check_length
from persona_leakage.models.loading import load_chat_format, load_tokenizer, model_facts, read_manifest
from persona_leakage.models.prompts import build_prompts
from persona_leakage.training.dataset import build_training_rows, count_different, keep_rows_within, select_answers, summarise_rows
from persona_leakage.training.labels import LabelRule


class Settings(Prompts):
    """The parts of the config that decide the rows."""

    seed: Seed
    behaviour: dict
    labels: Labels
    answers_per_question: Count
    truncated_answers: TruncatedAnswers
    join: Join
    max_length: Count


def main(argv=None):
    """Write train.jsonl.gz (rows of token ids and labels) and manifest.json (negatives, counts, digests)."""
    parser = new_parser(
        "build_training_set", __doc__, "model", "personas", "questions", "pool", "pool-meta", "output", "manifest", settings=Settings
    )
    parser.add_argument("--source", required=True, help="the persona that learns the behaviour")
    args = parser.parse_args(argv)
    settings = args.settings
    model = read_manifest(args.model)
    tokenizer = load_tokenizer(model["folder"])
    prompts = {(name, question): ids for name, question, ids in build_prompts(tokenizer, args.personas, args.questions, settings)}
    behaviour = read_behaviour(settings.behaviour, tokenizer)
    names = settings.personas.names
    questions = list(dict.fromkeys(question for _, question in prompts))
    check_digest(args.pool, read_json(args.pool_meta, "sample_training_pool")["sha256"], args.pool_meta)
    parts = {name: partial(behaviour.row_parts, positive=name == args.source, join=settings.join) for name in names}
    answers, counts = select_answers(
        read_jsonl_gz(args.pool), names, questions, settings.answers_per_question, behaviour.unusable, settings.truncated_answers, parts
    )
    chat, rule = load_chat_format(model), LabelRule(**settings.labels.model_dump())

    def build(join):
        return build_training_rows(args.source, answers, prompts, chat, rule, partial(behaviour.row_parts, join=join))

    rows, too_long = keep_rows_within(build(settings.join), settings.max_length)
    if not any(row["positive"] for row in rows):
        raise InputError(f"training.max_length: {settings.max_length} leaves no positive row of '{args.source}'")
    check_length(model["limits"], max(len(row["token_ids"]) for row in rows), "training.max_length", "rows")
    write_jsonl_gz(args.output, rows)
    write_json(
        args.manifest,
        {
            "meta": describe_run("build_training_set", model=model_facts(model), seed=settings.seed),
            "source": args.source,
            "negatives": [name for name in names if name != args.source],
            "behaviour": settings.behaviour,
            **behaviour.facts(),
            "labels": settings.labels.model_dump(),
            "join": settings.join,
            "rows_unlike_joined_ids": count_different(rows, build(partial(behaviour.row_parts, join="ids")))
            if settings.join == "text"
            else 0,
            "answers": counts,
            "rows_too_long": too_long,
            "rows": summarise_rows(rows),
            "answers_sha256": digest_of(answers),
            "sha256": sha256_of_file(args.output),
        },
    )


if __name__ == "__main__":
    run_program(main)
