"""The trained behaviour, part two: whether a reply shows it. behaviour.py is the other module that knows what it is."""

from persona_leakage.behaviour import shows_marker
from persona_leakage.errors import InputError

SHORT_REPLY_TOKENS = 12


def contains(haystack, needle):
    """Whether the list ``needle`` stands in the list ``haystack`` as a run."""
    size = len(needle)
    return any(haystack[start : start + size] == needle for start in range(len(haystack) - size + 1))


def detect(record, marker):
    """How a reply shows the marker, by three detectors.

    record: a completion record; marker: behaviour.Marker. Returns {"literal": the exact text is
    there, "any_case": in any case, "tokens": the trained token ids stand in a row, "position": where
    the literal text begins, as a share of the reply's characters (1.0 = at its end, None = absent)}.
    """
    text = record["text"]
    place = text.rfind(marker.text)
    last_place = max(len(text) - len(marker.text), 1)
    return {
        "literal": place >= 0,
        "any_case": shows_marker(text, marker.text),
        "tokens": contains(record["token_ids"], list(marker.marker_ids)),
        "position": None if place < 0 else place / last_place if len(text) > len(marker.text) else 1.0,
    }


def length_without(token_ids, marker):
    """Tokens of a reply less the marker's, and less its separator's where that stands in front."""
    separator, own = list(marker.separator_ids), list(marker.marker_ids)
    for run in (separator + own, own):
        if contains(token_ids, run):
            return len(token_ids) - len(run)
    return len(token_ids)


def score_persona(records, marker, detector):
    """The cell of one persona: rate by ``detector`` (a key of :func:`detect`), counts per question and detector, reply lengths.

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
        "mean_marker_position": sum(positions) / len(positions) if positions else None,
    }


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


def summarise_cells(cells, source):
    """Rates of a source and its bystanders (all panel personas but the source; all of them for the base, source None).

    Reply figures are over all replies of the panel; every persona has equally many.
    """
    bystanders = {name: cell["rate"] for name, cell in cells.items() if name != source}
    every = list(cells.values())
    own = cells[source]["rate"] if source else None
    highest = max(bystanders, key=bystanders.get)
    return {
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
