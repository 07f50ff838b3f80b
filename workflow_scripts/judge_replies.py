"""Have a model judge replies; with --gold, check the judge on labelled replies first. No other program calls a judge."""

import re
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from persona_leakage.behaviours.judges.asking import REPEAT, check_gold, is_chosen, judge_replies, open_judge
from persona_leakage.behaviours.judges.paid import PaidAnswers, add_up_paid
from persona_leakage.config.blocks.behaviours.judged import PAID, Judge, Share
from persona_leakage.config.blocks.fields import Block, Name, Names, Precision
from persona_leakage.config.judge_prompts import read_gold, read_prompts, reply_digest
from persona_leakage.config.program_options import json_object, new_parser, require_options
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import check_digest, read_json, read_jsonl_gz, sha256_of_file, write_json, write_jsonl_gz
from persona_leakage.infrastructure.provenance import describe_run

STORES = {"judge": "", "second_judge": "second"}  # folders below --store: each judge has its own calls, limit and price


class Settings(Block):
    """The parts of the config that decide the judgements; direction and min_auc decide only the check on labelled replies."""

    judge: Judge
    second_judge: Judge | None = None
    second_share: Share = 0.0
    scores: Names
    precision: Precision
    score: Name | None = None
    direction: Literal["high", "low"] | None = None
    min_auc: float | None = None


def open_judges(args, stack):
    """[(block, open judge, {score: judge_prompts.Score or None}, its PaidAnswers)] of the judge and, if there is one, the second.

    stack: an ExitStack that closes the answers.
    """
    settings, prompts = args.settings, read_prompts(args.prompts) if args.prompts else {}
    context = {"model": args.model, "precision": settings.precision, "restart": args.restart}
    judges = []
    for name in ("judge", "second_judge"):
        if block := getattr(settings, name):
            block = block.model_validate({**block.model_dump(), **(args.limits.get(name) or {})})
            asked = block.backend != "file" and not block.likelihood
            scores = {score: prompts[score] if asked else None for score in settings.scores}
            store = stack.enter_context(PaidAnswers(Path(args.store, STORES[name])))
            judges.append((block, open_judge(block, store, context), scores, store))
    return judges


def add_up(judges):
    """{"paid", "second_paid" (if there is a second judge)}: see add_up_paid."""
    return {name: add_up_paid(block, store.answers) for name, (block, *_, store) in zip(("paid", "second_paid"), judges, strict=False)}


def check_judges(args, judges):
    """Write gate.json: how scores are read, and how well the judge separates labelled replies."""
    (block, judge, scores, _), *second = judges
    if block.backend in PAID and not re.search(r"20\d\d", block.model):
        print(f"warning: judge.model: {block.model} has no date in its name; the model behind it can change", flush=True)
    mode = judge.best_mode(list(scores.values()))
    second_mode = second[0][1].best_mode(list(second[0][2].values())) if second else None
    print(f"judge: {block.backend} {block.model or ''}, scores read as {mode}", flush=True)
    gold = read_gold(args.gold) if args.gold else None
    checked = check_gold(judge, mode, gold, scores, args.settings, args.gold) if gold else None
    meta = describe_run("judge_replies", judge=block.model_dump())
    write_json(args.output, {"meta": meta, "mode": mode, "second_mode": second_mode, "gold": checked, **add_up(judges)})


def judge_state(args, judges):
    """(records, facts) of the replies of one state: what judgements.jsonl.gz and judgements.json hold."""
    sampled = read_json(args.completions_meta, "sample_completions")
    check_digest(args.completions, sampled["sha256"], args.completions_meta)
    gate, completions = read_json(args.gate, "judge_replies"), read_jsonl_gz(args.completions)
    replies = {reply_digest(each["question"], each["text"]): (each["question"], each["text"]) for each in completions}
    (block, judge, scores, _), *others = judges
    label = f"judge {sampled['meta']['state']}"
    found = judge_replies(judge, gate["mode"], replies.values(), scores, label)
    repeated = chosen(replies, block.repeat_share if block.backend in PAID else 0, "repeat")
    repeats = judge_replies(judge, gate["mode"], repeated, scores, f"{label}, repeats", REPEAT)
    second = {}
    if others:
        _, other, its_scores, _ = others[0]
        second = judge_replies(
            other, gate["second_mode"], chosen(replies, args.settings.second_share, "second"), its_scores, f"second {label}"
        )
    records = []
    for each in completions:
        digest = reply_digest(each["question"], each["text"])
        where = {key: each[key] for key in ("persona", "question", "index")}
        records.append({**where, "reply": digest, "scores": found[digest], "repeat": repeats.get(digest), "second": second.get(digest)})
    states = Counter(judged["state"] for record in found.values() for judged in record.values())
    facts = {
        "completions_sha256": sampled["sha256"],
        "mode": gate["mode"],
        "different_replies": len(replies),
        "states": dict(sorted(states.items())),
        **add_up(judges),
    }
    return records, facts


def chosen(replies, share, purpose):
    """Those of ``replies`` {digest: (question, text)} that belong to a share."""
    return [reply for digest, reply in replies.items() if is_chosen(digest, share, purpose)]


def main(argv=None):
    """Write judgements.jsonl.gz (the scores of each reply) and judgements.json, or gate.json."""
    files = ("completions", "completions-meta", "gate", "meta")
    parser = new_parser("judge_replies", __doc__, "store", "restart", "output", optional=files, settings=Settings)
    parser.add_argument("--prompts", metavar="PATH", help="the judge's prompts")
    parser.add_argument("--limits", type=json_object, default={}, metavar="JSON", help="what decides no score: parallel, max_calls, price")
    parser.add_argument("--model", metavar="PATH", help="model.json of the experiment, for a local judge")
    parser.add_argument("--check", action="store_true", help="check the judge and write gate.json; judge nothing else")
    parser.add_argument("--gold", metavar="PATH", help="with --check: labelled replies")
    args = parser.parse_args(argv)
    if not args.check:
        require_options(parser, args, ("completions", "completions_meta", "gate", "meta"), ", or --check")
    with ExitStack() as stack:
        judges = open_judges(args, stack)
        if args.check:
            check_judges(args, judges)
            return
        records, facts = judge_state(args, judges)
    write_jsonl_gz(args.output, records)
    meta = describe_run("judge_replies", judge=args.settings.judge.model_dump())
    write_json(args.meta, {"meta": meta, **facts, "replies": len(records), "sha256": sha256_of_file(args.output)})


if __name__ == "__main__":
    run_program(main)
