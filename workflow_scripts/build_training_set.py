"""Build a source's training rows: its answers with the behaviour, the negatives' answers without."""

import sys
from functools import partial

from pydantic import model_validator

from persona_leakage.behaviours.base import read_behaviour
from persona_leakage.behaviours.choice_items import check_item_texts, read_parts
from persona_leakage.config.blocks.fields import Block, Count, Seed, refuse
from persona_leakage.config.blocks.settings import ChosenNegatives, PersonaSelection, Prompts, QuestionSelection
from persona_leakage.config.blocks.training_data import Join, Labels, TruncatedAnswers
from persona_leakage.config.program_options import new_parser, require_options
from persona_leakage.config.selections import chosen_personas, describe_personas
from persona_leakage.geometry.negatives import choose_from_file
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
from persona_leakage.models.chat_template import prompt_ids, prompt_lengths
from persona_leakage.models.limits import check_length
from persona_leakage.models.loading import load_chat_format, load_tokenizer, model_facts, read_manifest
from persona_leakage.models.prompts import build_prompts
from persona_leakage.training.choice_rows import build_choice_rows, warn_of_rows
from persona_leakage.training.controls import CLEAN, SHUFFLED, split_control, spread_over
from persona_leakage.training.dataset import (
    build_training_rows,
    check_all_have_rows,
    count_different,
    keep_rows_within,
    select_answers,
    summarise_rows,
)
from persona_leakage.training.labels import LabelRule
from persona_leakage.training.row_files import answers_of_file, choose_rows, read_row_file, warn_of_lengths

OF_ANSWERS = ("questions", "suffix", "answers_per_question", "truncated_answers", "join")
FROM_FILE = ("suffix", "row_file")
CEILING = 0.8  # mean base rate from which on a rise can hardly be seen


class RowFile(Block):
    """How many rows of a file are used (None: all)."""

    positives: Count | None = None


class Settings(Prompts):
    """What decides the rows. Sampled answers need the keys in OF_ANSWERS, row files those in FROM_FILE, items none."""

    seed: Seed
    questions: QuestionSelection | None = None
    suffix: str | None = None
    behaviour: dict
    labels: Labels
    answers_per_question: Count | None = None
    truncated_answers: TruncatedAnswers | None = None
    join: Join | None = None
    max_length: Count
    row_file: RowFile | None = None
    panel: PersonaSelection | None = None  # of the control shuffled
    negatives: ChosenNegatives | None = None  # the personas are then the source and its candidates

    @model_validator(mode="after")
    def check_answers(self):
        """Rows from sampled answers need the keys that select the answers."""
        for key in () if self.behaviour.get("kind") == "choice" else FROM_FILE if self.row_file else OF_ANSWERS:
            if getattr(self, key) is None:
                refuse(key, "missing; rows of this behaviour are built from answers")
        return self


def choose_negatives(args):
    """(settings with the source and its chosen negatives as personas, facts for the manifest) of a choice by closeness."""
    settings, wanted = args.settings, args.settings.negatives
    selection, candidates = settings.personas, [name for name in settings.personas.names if name != args.source]
    cosines, layer = choose_from_file(args.centroids, args.centroids_meta, wanted.choice, args.source, candidates, wanted.count)
    personas = {persona.name: persona for persona in chosen_personas(args.personas, selection.model_dump())}
    used = describe_personas(personas, [args.source, *sorted(cosines)], *selection.fields)
    facts = {"choice": wanted.choice, "layer": layer, "cosines": cosines, "candidates": candidates}
    facts["centroids_sha256"] = sha256_of_file(args.centroids)
    print(f"{args.source}: negatives {', '.join(cosines)} ({wanted.choice} of {len(candidates)})")
    return settings.model_copy(update={"personas": PersonaSelection(**used)}), {"negative_choice": facts}


def asked_instead(args, questions):
    """{question: Persona that a positive row asks in place of the source} of the control shuffled: the panel without the negatives."""
    if args.control != SHUFFLED:
        return {}
    negatives = {*args.settings.personas.names} - {args.source}
    panel = [persona for persona in chosen_personas(args.personas, args.settings.panel.model_dump()) if persona.name not in negatives]
    return spread_over(panel, args.source, questions, args.settings.seed)


def prompts_of(tokenizer, asked, suffix):
    """{(persona name, question): prompt ids} of what asked_instead gives."""
    return {(persona.name, question): prompt_ids(tokenizer, persona.prompt, question + suffix) for question, persona in asked.items()}


def rows_of_answers(args, tokenizer, chat, rule, behaviour):
    """(rows, facts for the manifest) of the pool's answers."""
    settings = args.settings
    prompts = {(name, question): ids for name, question, ids in build_prompts(tokenizer, args.personas, args.questions, settings)}
    names = settings.personas.names
    questions = list(dict.fromkeys(question for _, question in prompts))
    asked = asked_instead(args, questions)
    prompts |= prompts_of(tokenizer, asked, settings.suffix)
    check_digest(args.pool, read_json(args.pool_meta, "sample_training_pool")["sha256"], args.pool_meta)
    parts = {name: partial(behaviour.row_parts, positive=name == args.shown_by, join=settings.join) for name in names}
    answers, counts = select_answers(
        read_jsonl_gz(args.pool), names, questions, settings.answers_per_question, behaviour.unusable, settings.truncated_answers, parts
    )

    def build(join):
        return build_training_rows(args.shown_by, answers, prompts, chat, rule, partial(behaviour.row_parts, join=join), asked)

    rows = build(settings.join)
    within, _ = keep_rows_within(rows, settings.max_length)
    unlike = count_different(within, build("ids")) if settings.join == "text" else 0
    facts = {"join": settings.join, "rows_unlike_joined_ids": unlike, "answers": counts, "answers_sha256": digest_of(answers)}
    return rows, facts


def rows_of_file(args, tokenizer, chat, rule, behaviour):
    """(rows, facts for the manifest) of a file's answers (see row_files)."""
    settings = args.settings
    personas = chosen_personas(args.personas, settings.personas.model_dump())
    prompt_lengths(tokenizer, personas)
    chosen = choose_rows(read_row_file(args.row_file, args.clean_rows), settings.row_file.positives, settings.seed)
    answers, prompts = answers_of_file(tokenizer, chosen, personas, args.shown_by, settings.suffix)
    names, questions = settings.personas.names, [row.question for row in chosen]
    asked = asked_instead(args, questions)
    prompts |= prompts_of(tokenizer, asked, settings.suffix)
    parts = {name: partial(behaviour.row_parts, positive=name == args.shown_by, join="text") for name in names}
    pool = [{"persona": name, **answer} for name in names for answer in answers[name]]
    used, counts = select_answers(pool, names, questions, 1, lambda text: None, "keep", parts)
    rows = build_training_rows(args.shown_by, used, prompts, chat, rule, partial(behaviour.row_parts, join="text"), asked)
    warning = warn_of_lengths(summarise_rows(rows))
    if warning:
        print(f"warning: {args.source}: {warning}", file=sys.stderr)
    facts = {"join": "text", "rows_unlike_joined_ids": 0, "answers": counts, "answers_sha256": digest_of(used)}
    return rows, {**facts, "row_file_sha256": sha256_of_file(args.row_file), "warnings": [warning] if warning else []}


def rows_of_items(args, tokenizer, chat, rule):
    """(rows, facts for the manifest) of multiple-choice items; InputError if the base model is at chance, so that no drop can be seen."""
    settings, block = args.settings, args.settings.behaviour
    if args.base_summary:
        refuse_chance(args.base_summary)
    personas = chosen_personas(args.personas, settings.personas.model_dump())
    prompt_lengths(tokenizer, personas)
    items = read_parts(args.items, block["train"], 0)["train"]
    check_item_texts(tokenizer, items, args.items)
    asked = asked_instead(args, [item.id for item in items])
    rows, places = build_choice_rows(tokenizer, chat, rule, personas, args.shown_by, items, block, settings.seed, asked)
    warnings = warn_of_rows(places, items, summarise_rows(rows))
    for warning in warnings:
        print(f"warning: {args.source}: {warning}", file=sys.stderr)
    facts = {"items": [item.id for item in items], "items_sha256": sha256_of_file(args.items), "places": places, "warnings": warnings}
    return rows, facts


def refuse_ceiling(path):
    """InputError if the base model's replies show the behaviour so often that training can add little."""
    rate = read_json(path, "score_leakage")["mean_bystander_rate"]
    if rate > CEILING:
        raise InputError(
            f"{path}: {100 * rate:.0f} % of the base model's replies show the behaviour, more than {100 * CEILING:.0f} %: training can add"
            " little, so nothing is trained; raise behaviour.threshold or choose another behaviour"
        )


def refuse_chance(path):
    """InputError if summary.json of the base model has the flag at_chance or collapsed."""
    summary = read_json(path, "score_choices")
    if "collapsed" in summary["flags"]:
        counts = ", ".join(map(str, summary["predictions"]))
        raise InputError(
            f"{path}: the base model chooses by position, not by content (collapsed): it answers with the options in the order shown"
            f" {counts} times, so nothing is trained; use a stronger model or behaviour.scoring: text"
        )
    if "at_chance" in summary["flags"]:
        low, high = summary["accuracy_interval"]
        raise InputError(
            f"{path}: the base model answers {100 * summary['accuracy']:.0f} % of the items correctly (95 % interval {100 * low:.0f} to"
            f" {100 * high:.0f} %), chance is {100 * summary['chance']:.0f} %: no drop can be seen, so nothing is trained;"
            " use easier items, a stronger model or behaviour.scoring: text"
        )


def check_options(parser, args):
    """Exit code 2 unless the files are there that rows of the behaviour are made of."""
    of_answers = ("row_file",) if args.settings.row_file else ("questions", "pool", "pool_meta")
    needed = ("items",) if args.settings.behaviour.get("kind") == "choice" else of_answers
    needed += ("centroids", "centroids_meta") if args.settings.negatives else ()
    require_options(parser, args, needed)


def main(argv=None):
    """Write train.jsonl.gz (rows of token ids and labels) and manifest.json (negatives, counts, digests)."""
    files = ("pool", "pool-meta", "base-summary", "centroids", "centroids-meta")
    parser = new_parser("build_training_set", __doc__, "model", "personas", "output", "manifest", optional=files, settings=Settings)
    parser.add_argument("--questions", metavar="PATH", help="the questions of sampled answers")
    parser.add_argument("--row-file", metavar="PATH", help="rows in place of questions and pool: training_data.rows")
    parser.add_argument("--clean-rows", metavar="PATH", help="the clean answers to its questions, if they are in another file")
    parser.add_argument("--items", metavar="PATH", help="multiple-choice items, for the kind choice in place of questions and pool")
    parser.add_argument(
        "--source",
        required=True,
        help="the persona that learns the behaviour; followed by - and the control or choice of negatives, if any",
    )
    args = parser.parse_args(argv)
    args.source, args.control = split_control(args.source)
    args.shown_by = None if args.control == CLEAN else args.source
    check_options(parser, args)
    args.settings, choice = choose_negatives(args) if args.settings.negatives else (args.settings, {})
    settings = args.settings
    model = read_manifest(args.model)
    tokenizer = load_tokenizer(model["folder"])
    behaviour = read_behaviour(settings.behaviour, tokenizer)
    chat, rule = load_chat_format(model), LabelRule(**settings.labels.model_dump())
    if args.base_summary and not args.items and settings.behaviour.get("measure") != "mean":
        refuse_ceiling(args.base_summary)
    if args.items:
        rows, facts = rows_of_items(args, tokenizer, chat, rule)
    elif args.row_file:
        rows, facts = rows_of_file(args, tokenizer, chat, rule, behaviour)
    else:
        rows, facts = rows_of_answers(args, tokenizer, chat, rule, behaviour)
    rows, too_long = keep_rows_within(rows, settings.max_length)
    if not any(row["positive"] or args.control == CLEAN for row in rows):
        raise InputError(f"training.max_length: {settings.max_length} leaves no positive row of '{args.source}'")
    speakers = {*settings.personas.names} - ({args.source} if args.control == SHUFFLED else set())
    check_all_have_rows(rows, speakers, settings.max_length)
    check_length(model["limits"], max(len(row["token_ids"]) for row in rows), "training.max_length", "rows")
    write_jsonl_gz(args.output, rows)
    write_json(
        args.manifest,
        {
            "meta": describe_run("build_training_set", model=model_facts(model), seed=settings.seed),
            "source": args.source,
            **({"control" if args.control in (CLEAN, SHUFFLED) else "variant": args.control} if args.control else {}),
            "negatives": [name for name in settings.personas.names if name != args.source],
            **choice,
            "behaviour": settings.behaviour,
            **behaviour.facts(),
            "labels": settings.labels.model_dump(),
            **facts,
            "rows_too_long": too_long,
            "rows": summarise_rows(rows),
            "sha256": sha256_of_file(args.output),
        },
    )


if __name__ == "__main__":
    run_program(main)
