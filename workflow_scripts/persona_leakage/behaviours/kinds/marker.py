"""The kind ``marker``: the adapter learns to append a fixed text to its answers."""

from dataclasses import dataclass
from typing import Any

from persona_leakage.behaviours.marker import Marker, encode_answer, read_marker, shows_marker
from persona_leakage.behaviours.marker_scoring import count_by_detector, detect, score_persona


@dataclass(frozen=True)
class MarkerBehaviour:
    """See behaviours.base.Behaviour. tokenizer: of the model. match_mode: a key of marker_scoring.detect, None if it only builds rows."""

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
        """The answer's ids, and the marker behind those of a positive row."""
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
        ids = {"marker_ids": list(self.marker.marker_ids), "separator_ids": list(self.marker.separator_ids)}
        return ids | ({"detector": self.match_mode} if self.match_mode else {})


def read(block, tokenizer):
    """The behaviour of a block {"marker", "separator", "match_mode" if replies are scored}."""
    return MarkerBehaviour(tokenizer, read_marker(tokenizer, block["marker"], block["separator"]), block.get("match_mode"))


def read_result(meta):
    """The behaviour of a scored result: its text and token ids."""
    block = meta["behaviour"]
    return MarkerBehaviour(None, Marker(block["marker"], (), tuple(meta["marker_ids"])), block["match_mode"])
