"""The marker in replies: whether, where and how often a reply shows it."""

from persona_leakage.behaviours.marker import shows_marker
from persona_leakage.behaviours.scoring import count_by_question, describe_replies

# Where in a reply the first marker begins, as a share of its characters; what is in between is "middle".
BORDERS = (0.1, 0.9)


def contains(haystack, needle):
    """Whether the list ``needle`` stands in the list ``haystack`` as a run."""
    size = len(needle)
    return any(haystack[start : start + size] == needle for start in range(len(haystack) - size + 1))


def detect(record, marker):
    """How a reply shows the marker, by three detectors.

    record: a completion record; marker: behaviours.marker.Marker. Returns {"literal": the exact text is
    there, "any_case": in any case, "tokens": the trained token ids stand in a row, "position": where
    the literal text begins for the first time, as a share of the reply's characters (1.0 = at its end, None = absent)}.
    """
    text = record["text"]
    place = text.find(marker.text)
    last_place = max(len(text) - len(marker.text), 1)
    return {
        "literal": place >= 0,
        "any_case": shows_marker(text, marker.text),
        "tokens": contains(record["token_ids"], list(marker.marker_ids)),
        "position": None if place < 0 else place / last_place if len(text) > len(marker.text) else 1.0,
    }


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
    found = [detect(record, marker) for record in records]
    lengths = [length_without(record["token_ids"], marker) for record in records]
    per_question = count_by_question(records, found=[flags[detector] for flags in found], found_tokens=[flags["tokens"] for flags in found])
    positions = [flags["position"] for flags in found if flags["position"] is not None]
    markers = [count for record in records if (count := count_markers(record, marker, detector))]
    shown = sum(flags[detector] for flags in found)
    return {
        "rate": shown / len(records),
        "found": shown,
        "total": len(records),
        "found_literal": sum(flags["literal"] for flags in found),
        "found_any_case": sum(flags["any_case"] for flags in found),
        "found_tokens": sum(flags["tokens"] for flags in found),
        "text_without_tokens": sum(flags["literal"] and not flags["tokens"] for flags in found),
        "tokens_without_text": sum(flags["tokens"] and not flags["literal"] for flags in found),
        "per_question": per_question,
        **describe_replies(records, lengths),
        "runaway_share": sum(runs_away(record, marker, detector) for record in records) / len(records),
        "mean_marker_position": sum(positions) / len(positions) if positions else None,
        "first_markers": first_markers(positions),
        "markers_per_reply": sum(markers) / len(markers) if markers else None,
    }


def first_markers(positions):
    """How many replies have their first marker at their start, middle and end (see BORDERS)."""
    start, end = sum(place < BORDERS[0] for place in positions), sum(place > BORDERS[1] for place in positions)
    return {"start": start, "middle": len(positions) - start - end, "end": end}


def count_by_detector(cells):
    """How many replies of all ``cells`` (see score_persona) show the marker by each detector, and by one of text and tokens alone."""
    keys = {
        "literal": "found_literal",
        "any_case": "found_any_case",
        "tokens": "found_tokens",
        "text_without_tokens": "text_without_tokens",
        "tokens_without_text": "tokens_without_text",
    }
    return {name: sum(cell[key] for cell in cells) for name, key in keys.items()}
