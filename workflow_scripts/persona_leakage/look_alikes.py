"""When two texts that are not equal look the same to a reader."""

import unicodedata


def folded(text):
    """What texts that look alike have in common: one Unicode form, one case, single blanks, nothing unseen."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(character for character in plain if unicodedata.category(character) != "Cf").split())
