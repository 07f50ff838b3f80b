"""When two texts that are not equal look the same to a reader."""

import unicodedata
from functools import lru_cache

UNSEEN = {*map(chr, range(0xFE00, 0xFE10)), "\u034f", "\u115f", "\u1160", "\u3164", "\uffa0"}  # variation selectors, fillers
MINUS = "\u2212\u02d7\u2043"  # dashes to a reader; Unicode counts them among other kinds
QUOTES = "'\"`\u00b4\u2018\u2019\u201c\u201d"


@lru_cache(10_000)  # a table names each persona many times
def folded(text):
    """What texts that look alike have in common: one Unicode form and case, single blanks, one kind of dash and quote, nothing unseen.

    An underscore counts as a blank: names are shown without it.
    """
    plain = "".join(map(one_form, unicodedata.normalize("NFC", text))).casefold()
    return " ".join("".join(map(plain_character, plain)).split())


def one_form(character):
    """The common form of a character, such as a full-width letter; raised and lowered ones stay, for 2\u00b2 is not 22."""
    raised = unicodedata.decomposition(character).startswith(("<super>", "<sub>"))
    return character if raised else unicodedata.normalize("NFKC", character)


def plain_character(character):
    """A character as readers see it: unseen ones are nothing, dashes and quotation marks are of one kind each, an underscore is a blank."""
    kind = unicodedata.category(character)
    if kind == "Cf" or character in UNSEEN:
        return ""
    if kind == "Pd" or character in MINUS:
        return "-"
    return "'" if character in QUOTES else " " if character == "_" else character
