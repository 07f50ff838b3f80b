"""Fonts for names that the standard font of figures has no characters for: Chinese, Hindi, signs."""

import sys

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

STANDARD = "DejaVu Sans"  # comes with matplotlib
LAST_RESORT = "Last Resort"  # draws a box with the character's number


def use_fonts_for(figure):
    """Let the texts of ``figure`` fall back to installed fonts for the characters that the standard font lacks; say which no font has.

    A figure without such characters looks the same on every machine.
    """
    texts = figure.findobj(Text)
    wanted = {character for text in texts for character in text.get_text() if character.isprintable()}
    missing = wanted - characters_of(font_manager.findfont(STANDARD))
    if not missing:
        return
    families, missing = fallbacks(missing)
    for text in texts:
        text.set_fontfamily([STANDARD, *families])
    if missing:
        listed = " ".join(sorted(missing)[:20])
        print(f"warning: no installed font has {listed}; install one that does, such as Noto Sans CJK", file=sys.stderr)


def fallbacks(characters):
    """(families that have some of the characters, each more than what the ones before it have; characters that none has)."""
    families, missing = [], set(characters)
    fonts = {entry.name: entry.fname for entry in sorted(font_manager.fontManager.ttflist, key=lambda entry: (entry.name, entry.fname))}
    for name, path in fonts.items():
        if missing and LAST_RESORT not in name and (found := missing & characters_of(path)):
            families.append(name)
            missing -= found
    return families, missing


def characters_of(path):
    """The characters that a font file has."""
    return {chr(code) for code in FT2Font(path).get_charmap()}
