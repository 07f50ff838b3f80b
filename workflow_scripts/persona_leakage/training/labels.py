"""Training rows: token ids of prompt, answer and what follows it, and the labels that say which of them are trained."""

from dataclasses import dataclass

from persona_leakage.infrastructure.cli import InputError

IGNORED = -100  # the label that torch's cross entropy ignores


@dataclass(frozen=True)
class LabelRule:
    """Which tokens of a row are trained.

    loss_on: "tail" = what follows the answer, its separator and the last ``answer_tail_tokens`` answer tokens; "completion" = also the
    whole answer; any other value = only what follows the answer after the separator. Negative rows follow the same rule: with the last,
    only their end of the turn is trained.
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


def build_row(prompt_ids, answer_ids, chat, rule, tail=None):
    """Build a :class:`Row` by joining token ids and their labels: prompt, answer, separator, what follows it, end of turn.

    prompt_ids: as the model saw them. answer_ids: as it sampled them, or as encode_answer gives them.
    tail: of Behaviour.row_parts, with ``separator_ids`` and ``own_ids``, or None.
    """
    if rule.turn_end_target != "eos" and not chat.after_end_ids:
        raise InputError(f"labels.turn_end_target: '{rule.turn_end_target}' needs a chat template that writes something after a turn")
    answer_trained = {"tail": rule.answer_tail_tokens, "completion": len(answer_ids)}.get(rule.loss_on, 0)
    answer_masked = max(0, len(answer_ids) - answer_trained)
    parts = [(prompt_ids, False), (answer_ids[:answer_masked], False), (answer_ids[answer_masked:], True)]
    if tail is not None:
        parts += [(tail.separator_ids, rule.loss_on in ("tail", "completion")), (tail.own_ids, True)]
    parts.append(((chat.end_id,), rule.turn_end_target in ("eos", "both")))
    if rule.turn_end_target in ("newline", "both"):
        parts.append((chat.after_end_ids, True))
    token_ids, labels = [], []
    for ids, trained in parts:
        token_ids += ids
        labels += ids if trained else [IGNORED] * len(ids)
    return Row(tuple(token_ids), tuple(labels))
