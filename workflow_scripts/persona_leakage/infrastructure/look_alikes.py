"""When two texts that are not equal look the same to a reader."""

import re
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
    return plainly(text, plain_sign).casefold()


def same_question(text):
    """What two spellings of a question have in common: as folded, and punctuation behind a word says nothing.

    Signs within a word do, as in C++, 2-2 and 2.5.
    """
    return re.sub(r"[.,;:!?\u2026]+(?=\s|$)", "", folded(text)).rstrip()


def same_option(text):
    """What two spellings of an answer have in common: as folded, but case and quotation marks count: TT is not Tt, 5' is not 5"."""
    return plainly(text)


def plainly(text, character_form=str):
    """A text in one Unicode form, with single blanks, one kind of dash and nothing unseen; character_form: of its other characters."""
    plain = "".join(map(one_form, unicodedata.normalize("NFC", text)))
    return " ".join("".join(character_form(plain_character(character)) for character in plain).split())


def one_form(character):
    """The common form of a character, such as a full-width letter; raised and lowered ones stay, for 2\u00b2 is not 22."""
    raised = unicodedata.decomposition(character).startswith(("<super>", "<sub>"))
    return character if raised else unicodedata.normalize("NFKC", character)


def plain_character(character):
    """A character as readers see it: unseen ones are nothing, dashes are of one kind."""
    kind = unicodedata.category(character)
    if kind == "Cf" or character in UNSEEN:
        return ""
    return "-" if kind == "Pd" or character in MINUS else character


def plain_sign(character):
    """A character, one kind of quotation mark, or a blank for an underscore."""
    return " " if character == "_" else "'" if character and character in QUOTES else character
