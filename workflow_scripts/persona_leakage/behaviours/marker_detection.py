"""The marker in replies: whether, where and how often a reply shows it."""

# Where in a reply the first marker begins, as a share of its characters; what is in between is "middle".
BORDERS = (0.1, 0.9)


def shows_marker(text, marker_text):
    """Whether ``text`` holds the marker, in any case."""
    return marker_text.lower() in text.lower()


def contains(haystack, needle):
    """Whether the list ``haystack`` contains the list ``needle``, which has elements, as consecutive elements."""
    size = len(needle)
    return needle[0] in haystack and any(haystack[start : start + size] == needle for start in range(len(haystack) - size + 1))


def detect(record, marker):
    """How a reply shows the marker, by three detectors.

    record: a completion record; marker: behaviours.marker.Marker. Returns {"literal": the exact text,
    "any_case": in any case, "tokens": the trained token ids in sequence, "position": where
    the literal text begins for the first time, as a share of the reply's characters (1.0 = at its end, None = absent)}.
    """
    text = record["text"]
    place = text.find(marker.text)
    last_place = max(len(text) - len(marker.text), 1)
    return {
        "literal": place >= 0,
        "any_case": shows_marker(text, marker.text),
        "tokens": contains(record["token_ids"], list(marker.own_ids)),
        "position": None if place < 0 else place / last_place if len(text) > len(marker.text) else 1.0,
    }


def count_markers(record, marker, detector):
    """How often a reply shows the marker by ``detector``; runs that overlap count once."""
    if detector == "tokens":
        ids, own, count, start = record["token_ids"], list(marker.own_ids), 0, 0
        while start + len(own) <= len(ids):
            hit = ids[start : start + len(own)] == own
            count, start = count + hit, start + (len(own) if hit else 1)
        return count
    return record["text"].count(marker.text) if detector == "literal" else record["text"].lower().count(marker.text.lower())


def runs_away(record, marker, detector):
    """Whether a reply shows the marker and does not end with it: it repeats it, or continues up to the token limit."""
    count = count_markers(record, marker, detector)
    return count > 1 or (count == 1 and record["finish_reason"] == "length")


def length_without(token_ids, marker):
    """Number of tokens in a reply without the marker's and those of a separator directly before it."""
    separator, own = list(marker.separator_ids), list(marker.own_ids)
    for run in (separator + own, own):
        if contains(token_ids, run):
            return len(token_ids) - len(run)
    return len(token_ids)


def first_markers(positions):
    """How many replies have their first marker at their start, middle and end (see BORDERS)."""
    start, end = sum(place < BORDERS[0] for place in positions), sum(place > BORDERS[1] for place in positions)
    return {"start": start, "middle": len(positions) - start - end, "end": end}
