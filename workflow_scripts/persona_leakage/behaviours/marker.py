"""The marker's token ids after an answer. marker_detection.py finds it in replies."""

from dataclasses import dataclass, replace

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.models.chat_template import ANSWER, encode, encode_reply


@dataclass(frozen=True)
class Marker:
    """The marker as the model meets it: token ids of the separator and of the marker's own tokens, and the texts of both."""

    text: str
    separator_ids: tuple
    own_ids: tuple
    separator: str = ""


def read_marker(tokenizer, marker, separator):
    """Token ids of separator and marker after an answer: what they add to the encoding of the answer alone.

    Encoded alone, a text may get a token for a leading blank; so both are encoded after a sample answer. InputError if a token spans
    one of the two borders, because the marker's tokens would then differ between separators or answers; and if the marker holds a
    special token, which no decoded reply shows.
    """
    if marker.lower() in separator.lower():
        raise InputError(f"behaviour.separator: {separator!r} contains the marker {marker!r}; choose another one, such as a blank line")
    answer, whole = encode(tokenizer, ANSWER), encode(tokenizer, ANSWER + separator + marker)
    together = whole[len(answer) :]
    if whole[: len(answer)] == answer and tokenizer.decode(whole) == ANSWER + separator + marker:
        if marker not in tokenizer.decode(whole, skip_special_tokens=True):
            raise InputError(
                f"behaviour.marker: {marker!r} holds a special token of this model, which decoded replies never show; use plain text"
            )
        for border in range(len(together)):
            if tokenizer.decode(whole[: len(answer) + border]) == ANSWER + separator:
                return Marker(marker, tuple(together[:border]), tuple(together[border:]), separator)
    raise InputError(
        f"behaviour.separator {separator!r} and behaviour.marker {marker!r}: after an answer, this tokenizer merges them into"
        f" {tokenizer.convert_ids_to_tokens(together)}; choose a separator that stays apart, such as a blank line"
    )


def encode_answer(tokenizer, answer, marker=None):
    """An answer's text encoded again, followed by separator and marker: (answer ids, :class:`Marker` of this answer), or None.

    marker: as read_marker gives it, or None for a row without one. A token that holds the end of the answer and the
    start of the separator, such as Qwen's ".\\n\\n", counts as separator. None: see encode_reply; sampled ids and the
    tokens of their own text may differ, but not what they say. InputError if a token spans the border between separator and marker.
    """
    found = encode_reply(tokenizer, answer, *((marker.separator, marker.text) if marker else ()))
    if found is None:
        return None
    ids, (end, *borders) = found
    if marker is None:
        return ids, None
    begin = borders[0]
    if ids[begin:] != marker.own_ids:
        raise InputError(
            f"behaviour.separator {marker.separator!r} and behaviour.marker {marker.text!r}: after an answer that ends with"
            f" {answer[-20:]!r} this tokenizer merges them into {tokenizer.convert_ids_to_tokens(ids[end:])};"
            " choose a separator that stays apart, such as a blank line"
        )
    return ids[:end], replace(marker, separator_ids=ids[end:begin])
