"""Files with one JSON object per line that people write: training rows and multiple-choice items."""

import json
from pathlib import Path

from persona_leakage.config.messages import odd_texts
from persona_leakage.infrastructure.cli import InputError, shorten
from persona_leakage.infrastructure.files import check_is_file


def read_json_lines(path):
    """[(line number, object)] of the lines that are not empty; a byte order mark is skipped.

    InputError with file and line for anything but UTF-8 and JSON objects, a repeated key, and texts that no UTF-8 file can hold.
    """
    check_is_file(path)
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")  # texts may hold other line ends, such as U+2028
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error}); save it as UTF-8") from None
    return [(number, read_object(line, f"{path}, line {number}")) for number, line in enumerate(lines, 1) if line.strip()]


def read_object(line, place):
    """The JSON object of one line."""
    try:
        content = json.loads(line, object_pairs_hook=lambda pairs: unique_keys(pairs, place))
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{place}: not valid JSON ({error}); write one object per line") from None
    if not isinstance(content, dict):
        raise InputError(f"{place}: is {shorten(line.strip(), 40)}; it must be a JSON object")
    if problems := list(odd_texts(content)):
        raise InputError(f"{place}: {problems[0]}")
    return content


def unique_keys(pairs, place):
    """The dict of an object's pairs; InputError if a key appears twice; json would keep only the last."""
    keys = [key for key, _ in pairs]
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise InputError(f"{place}: key {twice[0]!r} appears twice; remove one")
    return dict(pairs)
