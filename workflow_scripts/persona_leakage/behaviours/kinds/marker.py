"""The kind ``marker``: the adapter learns to append a fixed text to its answers."""

from dataclasses import dataclass
from typing import Any

from persona_leakage.behaviours.marker import Marker, encode_answer, read_marker
from persona_leakage.behaviours.marker_detection import count_markers, detect, first_markers, length_without, runs_away, shows_marker
from persona_leakage.behaviours.scoring import count_by_question, describe_replies
from persona_leakage.infrastructure.cli import InputError


@dataclass(frozen=True)
class MarkerBehaviour:
    """See behaviours.base.Behaviour. tokenizer: of the model. match_mode: a key of marker_detection.detect, None if it only builds rows."""

    tokenizer: Any
    marker: Marker
    match_mode: str | None

    @property
    def noun(self):
        """What the adapter learns."""
        return f"the marker {self.marker.text}"

    gain = "the marker's gain in log-probability at the end of the base model's replies"

    @property
    def highlight(self):
        """The marker's text."""
        return self.marker.text, self.match_mode == "literal"

    def unusable(self, text):
        """An answer that holds the marker already."""
        return "holds_marker" if shows_marker(text, self.marker.text) else None

    def row_parts(self, answer, positive, join):
        """The answer's token ids, followed by the marker's in a positive row."""
        marker = self.marker if positive else None
        return encode_answer(self.tokenizer, answer["text"], marker) if join == "text" else (answer["token_ids"], marker)

    def shows(self, record):
        """Whether the detector of match_mode finds the marker."""
        return detect(record, self.marker)[self.match_mode]

    def cell(self, records):
        """Counts of the marker, see score_persona."""
        return score_persona(records, self.marker, self.match_mode)

    def summarise(self, cells):
        """How the detectors differ."""
        return {"found": count_by_detector(cells)}

    def facts(self):
        """The marker's token ids, and the detector where replies are scored."""
        ids = {"marker_ids": list(self.marker.own_ids), "separator_ids": list(self.marker.separator_ids)}
        return ids | ({"detector": self.match_mode} if self.match_mode else {})


def score_persona(records, marker, detector):
    """The cell of one persona: rate by ``detector`` (a key of :func:`detect`), counts per question and detector, reply lengths.

    first_markers counts the replies by where their first marker is, markers_per_reply is the mean over replies that show it.
    Lengths leave out the marker's and separator's tokens, so that the marker does not hide a shorter
    reply. Returns the persona's entry in marker_eval.json (shares and rates in [0, 1], lengths in tokens).
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


def refuse_text(block, text, place):
    """InputError if a text of a file of rows, at ``place``, holds the marker."""
    if shows_marker(text, block["marker"]):
        raise InputError(f"{place}: {text!r} contains the marker, which the workflow appends to the behaviour's answers; remove it")


def read(block, tokenizer):
    """The behaviour of a block {"marker", "separator", "match_mode" if replies are scored}."""
    return MarkerBehaviour(tokenizer, read_marker(tokenizer, block["marker"], block["separator"]), block.get("match_mode"))


def read_result(meta):
    """The behaviour of a scored result: its text and token ids."""
    block = meta["behaviour"]
    return MarkerBehaviour(None, Marker(block["marker"], (), tuple(meta["marker_ids"])), block["match_mode"])
