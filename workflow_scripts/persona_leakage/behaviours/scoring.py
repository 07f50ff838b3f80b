"""The trained behaviour, part two: whether a reply shows it. marker.py is the other module that knows what it is."""

import re

from persona_leakage.behaviours.marker import shows_marker
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.intervals import wilson_interval

SHORT_REPLY_TOKENS = 12
# Where in a reply the first marker begins, as a share of its characters; what is in between is "middle".
BORDERS = (0.1, 0.9)
REFUSAL_CHARACTERS = 200  # a refusal comes first; later "I can't help" is mostly part of a story
# English only, and only stock phrases of instruction-tuned models: a hint, not a judge.
REFUSAL = re.compile(
    r"\bi(?: can(?:not|'t| not)| won't| will not|(?: am|'m) (?:unable|not able) to)"
    r" (?:help|assist|answer|provide|comply|fulfil|discuss|engage|support|participate|do that|create|generate|write|share|offer)"
)


def contains(haystack, needle):
    """Whether the list ``needle`` stands in the list ``haystack`` as a run."""
    size = len(needle)
    return any(haystack[start : start + size] == needle for start in range(len(haystack) - size + 1))


def detect(record, marker):
    """How a reply shows the marker, by three detectors.

    record: a completion record; marker: behaviour.Marker. Returns {"literal": the exact text is
    there, "any_case": in any case, "tokens": the trained token ids stand in a row, "position": where
    the literal text begins for the first time, as a share of the reply's characters (1.0 = at its end, None = absent)}.
    """
    text = record["text"]
    position = text.find(marker.text)
    last_position = max(len(text) - len(marker.text), 1)
    return {
        "literal": position >= 0,
        "any_case": shows_marker(text, marker.text),
        "tokens": contains(record["token_ids"], list(marker.marker_ids)),
        "position": None if position < 0 else position / last_position if len(text) > len(marker.text) else 1.0,
    }


def refuses(text):
    """Whether a reply begins with a stock phrase of refusal (REFUSAL); English only, so 0 says little of other languages."""
    return bool(REFUSAL.search(" ".join(text[:REFUSAL_CHARACTERS].lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split())))


def count_markers(record, marker, detector):
    """How often a reply shows the marker by ``detector``; runs that overlap count once."""
    if detector == "tokens":
        ids, own, count, start = record["token_ids"], list(marker.marker_ids), 0, 0
        while start + len(own) <= len(ids):
            hit = ids[start : start + len(own)] == own
            count, start = count + hit, start + (len(own) if hit else 1)
        return count
    return record["text"].count(marker.text) if detector == "literal" else record["text"].lower().count(marker.text.lower())


def runs_away(record, marker, detector):
    """Whether a reply shows the marker and does not end with it: it repeats it, or goes on up to the token limit."""
    count = count_markers(record, marker, detector)
    return count > 1 or (count == 1 and record["finish_reason"] == "length")


def length_without(token_ids, marker):
    """Tokens of a reply less the marker's, and less its separator's where that stands in front."""
    separator, own = list(marker.separator_ids), list(marker.marker_ids)
    for run in (separator + own, own):
        if contains(token_ids, run):
            return len(token_ids) - len(run)
    return len(token_ids)


def score_persona(records, marker, detector):
    """The cell of one persona: rate by ``detector`` (a key of :func:`detect`), counts per question and detector, reply lengths.

    first_markers counts the replies by where their first marker is, markers_per_reply is the mean over replies that show it.
    Lengths count tokens without the marker's own and its separator's where a reply shows it, so
    that carrying the marker does not hide a reply that shrank. Returns the dict that stands in
    marker_eval.json under the persona's name (shares and rates in [0, 1], lengths in tokens).
    """
    total = len(records)
    found = [detect(record, marker) for record in records]
    lengths = [length_without(record["token_ids"], marker) for record in records]
    per_question = {}
    for record, flags in zip(records, found, strict=True):
        cell = per_question.setdefault(record["question"], {"found": 0, "found_tokens": 0, "total": 0})
        cell["found"] += flags[detector]
        cell["found_tokens"] += flags["tokens"]
        cell["total"] += 1
    positions = [flags["position"] for flags in found if flags["position"] is not None]
    markers = [count for record in records if (count := count_markers(record, marker, detector))]
    shown = sum(flags[detector] for flags in found)
    return {
        "rate": shown / total,
        "found": shown,
        "total": total,
        "found_literal": sum(flags["literal"] for flags in found),
        "found_any_case": sum(flags["any_case"] for flags in found),
        "found_tokens": sum(flags["tokens"] for flags in found),
        "text_without_tokens": sum(flags["literal"] and not flags["tokens"] for flags in found),
        "tokens_without_text": sum(flags["tokens"] and not flags["literal"] for flags in found),
        "per_question": per_question,
        "mean_tokens": sum(lengths) / total,
        "short_share": sum(length < SHORT_REPLY_TOKENS for length in lengths) / total,
        "cut_share": sum(record["finish_reason"] == "length" for record in records) / total,
        "refused_share": sum(refuses(record["text"]) for record in records) / total,
        "runaway_share": sum(runs_away(record, marker, detector) for record in records) / total,
        "mean_marker_position": sum(positions) / len(positions) if positions else None,
        "first_markers": first_markers(positions),
        "markers_per_reply": sum(markers) / len(markers) if markers else None,
    }


def first_markers(positions):
    """How many replies have their first marker at their start, middle and end (see BORDERS)."""
    start, end = sum(position < BORDERS[0] for position in positions), sum(position > BORDERS[1] for position in positions)
    return {"start": start, "middle": len(positions) - start - end, "end": end}


def score_replies(records, marker, personas, detector):
    """{persona name: cell} for all ``personas``, in order; InputError if a persona has no replies."""
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
            **score_persona(by_persona[persona.name], marker, detector),
        }
        for persona in personas
    }


def check_replies(cell):
    """Did training work? The own replies of a source, from its cell: rate with Wilson's 95 % interval, and what may have spoilt them."""
    shares = ("cut_share", "refused_share", "short_share", "runaway_share")
    interval = wilson_interval(cell["found"], cell["total"])
    return {
        "found": cell["found"],
        "total": cell["total"],
        "rate": cell["rate"],
        "interval": interval,
        **{key: cell[key] for key in shares},
    }


def summarise_cells(cells, source):
    """Rates of a source and its bystanders (all panel personas but the source; all of them for the base, source None).

    training_check is over the source's own replies (None for the base), the other reply figures are over all replies of the
    panel; every persona has equally many. correlation.json says whether the source learned, which needs the base's rate too.
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
        "mean_tokens": sum(cell["mean_tokens"] for cell in every) / len(every),
        "short_share": sum(cell["short_share"] for cell in every) / len(every),
        "cut_share": sum(cell["cut_share"] for cell in every) / len(every),
        "found": {
            "literal": sum(cell["found_literal"] for cell in every),
            "any_case": sum(cell["found_any_case"] for cell in every),
            "tokens": sum(cell["found_tokens"] for cell in every),
            "text_without_tokens": sum(cell["text_without_tokens"] for cell in every),
            "tokens_without_text": sum(cell["tokens_without_text"] for cell in every),
        },
    }
