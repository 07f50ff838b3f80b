"""Training rows: token ids of prompt, answer and marker, and the labels that say which of them are trained."""

from dataclasses import dataclass

from persona_leakage.infrastructure.cli import InputError

IGNORED = -100  # the label that torch's cross entropy ignores


@dataclass(frozen=True)
class LabelRule:
    """Which tokens of a row are trained.

    loss_on: "marker" = the marker only; "tail" = also the separator and the last ``answer_tail_tokens``
    answer tokens; "completion" = also the separator and the whole answer. Negative rows
    follow the same rule; under "marker" only their end of the turn is trained.
    turn_end_target: "eos" = the end-of-turn token; "newline" = what the template writes after it
    instead; "both". Applies to every row.
    """

    loss_on: str
    answer_tail_tokens: int
    turn_end_target: str


@dataclass(frozen=True)
class Row:
    """One training row: ``token_ids`` and ``labels`` of equal length, a label being the token's id or -100 (not trained)."""

    token_ids: tuple
    labels: tuple


def build_row(prompt_ids, answer_ids, chat, rule, marker=None):
    """Build a :class:`Row` by joining id lists, labels beside them: prompt, answer, separator, marker, end of turn.

    prompt_ids: as the model saw them. answer_ids: as it sampled them, or as encode_answer gives them.
    marker: the :class:`Marker` of a positive row, None for a negative one.
    """
    if rule.turn_end_target != "eos" and not chat.after_end_ids:
        raise InputError(f"labels.turn_end_target: '{rule.turn_end_target}' needs a chat template that writes something after a turn")
    answer_trained = {"marker": 0, "tail": rule.answer_tail_tokens, "completion": len(answer_ids)}[rule.loss_on]
    answer_masked = max(0, len(answer_ids) - answer_trained)
    parts = [(prompt_ids, False), (answer_ids[:answer_masked], False), (answer_ids[answer_masked:], True)]
    if marker is not None:
        parts += [(marker.separator_ids, rule.loss_on != "marker"), (marker.marker_ids, True)]
    parts.append(((chat.end_id,), rule.turn_end_target in ("eos", "both")))
    if rule.turn_end_target in ("newline", "both"):
        parts.append((chat.after_end_ids, True))
    token_ids, labels = [], []
    for ids, trained in parts:
        token_ids += ids
        labels += ids if trained else [IGNORED] * len(ids)
    return Row(tuple(token_ids), tuple(labels))
