"""Make model text safe to show: invisible characters, and those that reorder or recolour text, become visible signs."""

import re
import unicodedata

PICTURES = 0x2400  # Unicode's pictures of the control characters
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # those of the category Cc, less tab and line end
# Bidirectional controls, zero-width characters, line separators and tags.
UNSEEN = re.compile("[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f\ud800-\udfff]")


def visible_text(text):
    """``text`` with control characters as their pictures (an escape as ␛) and unseen ones as ⟦U+202E⟧; line ends and tabs stay."""
    text = CONTROL.sub(lambda found: picture(found.group()), text.replace("\r\n", "\n"))
    return UNSEEN.sub(lambda found: f"⟦U+{ord(found.group()):04X}⟧", text)


def picture(character):
    """A visible replacement of a control character other than a line end or tab."""
    if character in "\n\t" or unicodedata.category(character) != "Cc":
        return character
    code = ord(character)
    return chr(PICTURES + code) if code < 0x20 else "␡" if code == 0x7F else f"⟦U+{code:04X}⟧"
