"""Replies of any behaviour, by persona: counts per question, lengths, refusals; and a source compared with its bystanders."""

import re
from pathlib import Path

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_jsonl_gz
from persona_leakage.infrastructure.intervals import wilson_interval

SHORT_REPLY_TOKENS = 12
REFUSAL_CHARACTERS = 200  # a refusal comes first; later "I can't help" is mostly part of a story
# English only, and only stock phrases of instruction-tuned models: a hint, not a judge.
REFUSAL = re.compile(
    r"\bi(?: can(?:not|'t| not)| won't| will not|(?: am|'m) (?:unable|not able) to)"
    r" (?:help|assist|answer|provide|comply|fulfil|discuss|engage|support|participate|do that|create|generate|write|share|offer)"
)


def read_completions(path, block):
    """Completion records of completions.jsonl.gz; for a behaviour that is judged (its ``block``) each has "judgement", its record in
    judgements.jsonl.gz of the same folder."""
    records = read_jsonl_gz(path)
    if block.get("kind") != "judged":
        return records
    judgements = Path(path).with_name("judgements.jsonl.gz")
    keys = ("persona", "question", "index")
    found = {tuple(each[key] for key in keys): each for each in read_jsonl_gz(judgements)}
    if missing := [record for record in records if tuple(record[key] for key in keys) not in found]:
        raise InputError(f"{judgements}: lacks {len(missing)} of {len(records)} replies of {path}; delete it and rerun")
    return [{**record, "judgement": found[tuple(record[key] for key in keys)]} for record in records]


def refuses(text):
    """Whether a reply begins with a stock phrase of refusal (REFUSAL); English only, so 0 means little in other languages."""
    return bool(REFUSAL.search(opening_of(text)))


def opening_of(text):
    """The beginning of a reply, where a refusal would be: lower case, straight apostrophes, single blanks."""
    return " ".join(text[:REFUSAL_CHARACTERS].lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split())


def count_by_question(records, **flags):
    """{question: {name: replies whose flag is set, ..., "total": replies}} from one flag, or number, per record under each name."""
    cells = {}
    for index, record in enumerate(records):
        cell = cells.setdefault(record["question"], {**dict.fromkeys(flags, 0), "total": 0})
        for name, values in flags.items():
            cell[name] += values[index]
        cell["total"] += 1
    return cells


def describe_replies(records, lengths):
    """Mean length in tokens, and the shares of replies that are short, hit the token limit or refuse; ``lengths``: tokens of each reply."""
    total = len(records)
    return {
        "mean_tokens": sum(lengths) / total,
        "short_share": sum(length < SHORT_REPLY_TOKENS for length in lengths) / total,
        "cut_share": sum(record["finish_reason"] == "length" for record in records) / total,
        "refused_share": sum(refuses(record["text"]) for record in records) / total,
    }


def score_replies(records, behaviour, personas):
    """{persona name: cell} for all ``personas``, in order; InputError if a persona has no replies.

    records: completion records, or what else the behaviour's cell() takes, each with a "persona".
    """
    by_persona = {persona.name: [] for persona in personas}
    for record in records:
        if record["persona"] not in by_persona:
            raise InputError(f"completions hold replies of '{record['persona']}', which is not in the panel")
        by_persona[record["persona"]].append(record)
    empty = [name for name, replies in by_persona.items() if not replies]
    if empty:
        raise InputError(f"completions hold no replies of {', '.join(empty)}")
    return {
        persona.name: {
            "category": persona.category,
            "related_to": list(persona.related_to),
            **behaviour.cell(by_persona[persona.name]),
        }
        for persona in personas
    }


def check_replies(cell):
    """Did training work? A source's own replies, from its cell: rate with Wilson's 95 % interval, and problems (None: unknown)."""
    shares = ("cut_share", "refused_share", "short_share", "runaway_share")
    interval = wilson_interval(cell["found"], cell["total"])
    return {
        "found": cell["found"],
        "total": cell["total"],
        "rate": cell["rate"],
        "interval": interval,
        **{key: cell.get(key) for key in shares},
    }


def summarise_cells(cells, source, behaviour):
    """Rates of a source and its bystanders (all panel personas but the source; all of them for the base, source None).

    training_check is over the source's own replies (None for the base), the other reply figures are over all replies of the
    panel, where replies were sampled; every persona has equally many. correlation.json says whether the source learned, which
    needs the base's rate too.
    """
    bystanders = {name: cell["rate"] for name, cell in cells.items() if name != source}
    every = list(cells.values())
    own = cells[source]["rate"] if source else None
    highest = max(bystanders, key=bystanders.get)
    return {
        "training_check": check_replies(cells[source]) if source else None,
        "source": source,
        "source_rate": own,
        "mean_bystander_rate": sum(bystanders.values()) / len(bystanders),
        "max_bystander_rate": bystanders[highest],
        "max_bystander": highest,
        "bystanders_above_source": sum(rate > own for rate in bystanders.values()) if source else None,
        "n_personas": len(every),
        "n_replies": sum(cell["total"] for cell in every),
        **{key: sum(cell[key] for cell in every) / len(every) for key in ("mean_tokens", "short_share", "cut_share") if key in every[0]},
        **behaviour.summarise(every),
    }
