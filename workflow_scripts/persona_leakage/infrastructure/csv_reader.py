"""CSV tables with every value checked: parsers of values, and a reader that names the line and the column of the first bad one."""

import csv
import math
import re
from pathlib import Path

import pandas as pd

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import check_is_file
from persona_leakage.infrastructure.visible_text import picture

BEYOND = "beyond the last column"


def whole(least):
    """Parser of a whole number that is at least ``least``; 19.0 is one, as a spreadsheet or a column with gaps writes it."""

    def parse(text):
        value = int(re.sub(r"\.0*$", "", text.strip()))
        if value < least:
            raise ValueError
        return value

    return parse


def number(least, most, missing=False):
    """Parser of a finite number in [least, most], up to rounding; with ``missing`` also of "nan" and of an empty cell."""

    def parse(text):
        value = float("nan" if missing and not text.strip() else text)
        if missing and math.isnan(value):
            return value
        if not (math.isfinite(value) and least - 1e-6 <= value <= most + 1e-6):
            raise ValueError
        return value

    return parse


def name(text):
    """A text that is not blank, without blanks at its ends (a reader does not see them) and without control characters."""
    if not text or text != text.strip() or any(picture(character) != character for character in text):
        raise ValueError
    return text


def flag(text):
    """true or false, in any case."""
    return {"true": True, "false": False}[text.lower()]


NAME, FLAG = (name, "a name, without blanks at its ends or control characters"), (flag, "true or false")
COUNT, POSITIVE = (whole(0), "a whole number, 0 or more"), (whole(1), "a whole number, 1 or more")
LENGTH = (number(0, math.inf), "a number, 0 or more")
MEASURED_LENGTH = (number(0, math.inf, missing=True), "a number, 0 or more, or nan")
COSINE = (number(-1, 1), "a number from -1 to 1")
MEASURED_COSINE = (number(-1, 1, missing=True), "a number from -1 to 1, or nan")
MEASURED_NUMBER = (number(-math.inf, math.inf, missing=True), "a number, or nan")
SHARE, MEASURED_SHARE = (number(0, 1), "a number from 0 to 1"), (number(0, 1, missing=True), "a number from 0 to 1, or nan")


def read_table(path, required, optional, check_row):
    """Read a CSV into a DataFrame: the columns of ``required``, and those of ``optional`` that it has; others are left out.

    required, optional: {column: (parser, what is allowed)}. check_row(values, seen, path, line) may raise InputError; it
    extends ``seen``, a dict of its own making. Rows without any value are skipped. InputError with the line, the column, the
    value and what is allowed at the first bad value, and if a column or all rows are missing.
    """
    check_is_file(path)
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, restkey=BEYOND, strict=True)
            parsers = parsers_of(path, reader.fieldnames, required, optional)
            seen, rows = {}, []
            for row in reader:
                if any(str(value or "").strip() for value in row.values()):
                    rows.append(parse_row(row, parsers, f"{path}, line {reader.line_num}"))
                    check_row(rows[-1], seen, path, reader.line_num)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8 ({error})") from None
    if not rows:
        raise InputError(f"{path}: has no rows")
    return pd.DataFrame(rows)


def refuse_repeats(*columns):
    """A check_row of read_table: no two rows may agree in all of ``columns``."""

    def check(values, seen, path, line):
        key = tuple(values[column] for column in columns)
        if key in seen:
            raise InputError(f"{path}, line {line}: repeats {', '.join(columns[:-1])} and {columns[-1]} of line {seen[key]}")
        seen[key] = line

    return check


def parsers_of(path, header, required, optional):
    """{column: (parser, what is allowed)} of the known columns in a header; InputError if a required one is missing."""
    header = header or []
    twice = sorted({column for column in header if column and header.count(column) > 1})
    if twice:
        raise InputError(f"{path}: column {', '.join(twice)} stands twice in the header")
    missing = [column for column in required if column not in header]
    if missing:
        raise InputError(f"{path}: missing columns {', '.join(missing)}; it has {', '.join(header) or 'none'}")
    return {column: rule for column, rule in {**required, **optional}.items() if column in header}


def parse_row(row, parsers, place):
    """The values of one row; InputError naming the first that is not allowed."""
    values = {}
    for column, (parse, allowed) in parsers.items():
        try:
            values[column] = parse(row[column] if row[column] is not None else "")
        except (ValueError, KeyError):
            raise InputError(f"{place}: {column} is {row[column]!r}; it must be {allowed}") from None
    if None in row.values() or BEYOND in row:
        raise InputError(f"{place}: the number of values differs from the header's")
    return values
