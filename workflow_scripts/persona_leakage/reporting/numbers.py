"""Numbers of result files on a page: each is looked up, formatted, and marked with its file and key."""

import json
from pathlib import Path

from markupsafe import Markup

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json

MISSING = "–"
STYLES = {
    "two": lambda value: f"{value:.2f}",
    "signed": lambda value: f"{value:+.2f}",
    "percent": lambda value: f"{100 * value:.1f} %",
    "p": lambda value: f"{value:.2g}",
    "count": lambda value: f"{value:,.0f}",
    "interval": lambda value: f"[{value[0]:.2f}, {value[1]:.2f}]",
    "text": str,
}


class Numbers:
    """Looks values up in the JSON files under ``home`` and shows them as <data> elements; remembers the files it has read."""

    def __init__(self, home):
        self.home = Path(home)
        self.files = {}

    def value(self, file, *keys):
        """The value under ``keys`` in a file relative to home; InputError if there is none."""
        if file not in self.files:
            self.files[file] = read_json(self.home / file)
        value = self.files[file]
        for key in keys:
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                raise InputError(f"{self.home / file}: has no {'.'.join(map(str, keys))}") from None
        return value

    def show(self, style, file, *keys):
        """The value as a <data> element with its file and key; a dash for null."""
        value = self.value(file, *keys)
        text = MISSING if value is None else STYLES[style](value)
        return Markup('<data class="n" data-style="{}" data-file="{}" data-keys="{}" title="{}: {}">{}</data>').format(
            style, file, json.dumps(keys), file, ".".join(map(str, keys)), text
        )
