"""When two texts that are not equal look the same to a reader."""

import re
import unicodedata
from functools import lru_cache

UNSEEN = "\u00ad\u034f\u200b\u200c\u200d\u2060\ufe0f\ufeff"
DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
QUOTES = '"`\u00b4\u2018\u2019\u201c\u201d'
ONE_KIND = str.maketrans({**dict.fromkeys(UNSEEN, ""), **dict.fromkeys(DASHES, "-")})
ONE_QUOTE = str.maketrans({**dict.fromkeys(QUOTES, "'"), "_": " "})


@lru_cache(10_000)  # a table names each persona many times
def folded(text):
    """What texts that look alike have in common: one Unicode form and case, single blanks (also for underscores), one dash and quote."""
    return same_option(text.translate(ONE_QUOTE)).casefold()


def same_question(text):
    """What two spellings of a question have in common: as folded, without punctuation after a word; C++, 2-2 and 2.5 keep their signs."""
    return re.sub(r"[.,;:!?\u2026]+(?=\s|$)", "", folded(text)).rstrip()


def same_option(text):
    """What two spellings of an answer have in common: as folded, but case and quotation marks count: TT is not Tt, 5' is not 5"."""
    return " ".join(unicodedata.normalize("NFC", text).translate(ONE_KIND).split())
