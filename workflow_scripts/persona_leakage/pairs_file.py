"""Tables of pairs, the workflow's own or from elsewhere: options of the programs that read them, and reading with every value checked."""

import csv
import math
from pathlib import Path

import pandas as pd

from persona_leakage.errors import InputError
from persona_leakage.options import new_parser

RATE_TOLERANCE = 0.005  # a brought rate may be rounded


def whole(least):
    """Parser of a whole number that is at least ``least``."""

    def parse(text):
        value = int(text)
        if value < least:
            raise ValueError
        return value

    return parse


def number(least, most):
    """Parser of a finite number in [least, most], up to rounding."""

    def parse(text):
        value = float(text)
        if not (math.isfinite(value) and least - 1e-6 <= value <= most + 1e-6):
            raise ValueError
        return value

    return parse


def name(text):
    """A text that is not blank."""
    if not text.strip():
        raise ValueError
    return text


def flag(text):
    """true or false, in any case."""
    return {"true": True, "false": False}[text.lower()]


NAME, COSINE, SHARE = (name, "a name"), (number(-1, 1), "a number from -1 to 1"), (number(0, 1), "a number from 0 to 1")
FLAG, COUNT = (flag, "true or false"), (whole(0), "a whole number, 0 or more")
REQUIRED = {
    "layer": COUNT,
    "source": NAME,
    "persona": NAME,
    "category": NAME,
    "related": FLAG,
    "cosine": COSINE,
    "rate": SHARE,
    "found": COUNT,
    "total": (whole(1), "a whole number, 1 or more"),
}
SAME_IN_ALL_LAYERS = ("category", "related", "rate", "found", "total", "negative", "base_rate", "prompt_tokens")
OPTIONAL = {
    "negative": FLAG,
    "cosine_raw": COSINE,
    "base_rate": SHARE,
    "source_rate": SHARE,
    "prompt_tokens": COUNT,
}


def read_pairs(path):
    """Read a CSV of pairs into a DataFrame: the columns of REQUIRED, and those of OPTIONAL that it has; others are left out.

    A row per (layer, source, persona); see tabulate_pairs for what the columns mean. InputError with the line,
    the column, the value and what is allowed at the first bad value, and if a column or all rows are missing.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, restkey="beyond the last column", strict=True)
            parsers = parsers_of(path, reader.fieldnames)
            seen, rows = {}, []
            for row in reader:
                rows.append(parse_row(row, parsers, f"{path}, line {reader.line_num}"))
                check_row(rows[-1], seen, path, reader.line_num)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8 ({error})") from None
    if not rows:
        raise InputError(f"{path}: has no rows")
    return pd.DataFrame(rows)


def parsers_of(path, header):
    """{column: (parser, what is allowed)} of the known columns in a header; InputError if a required one is missing."""
    header = header or []
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise InputError(f"{path}: column {', '.join(twice)} stands twice in the header")
    missing = [column for column in REQUIRED if column not in header]
    if missing:
        raise InputError(f"{path}: missing columns {', '.join(missing)}; it has {', '.join(header) or 'none'}")
    return {column: rule for column, rule in {**REQUIRED, **OPTIONAL}.items() if column in header}


def parse_row(row, parsers, place):
    """The values of one row; InputError naming the first that is not allowed."""
    values = {}
    for column, (parse, allowed) in parsers.items():
        try:
            values[column] = parse(row[column] if row[column] is not None else "")
        except (ValueError, KeyError):
            raise InputError(f"{place}: {column} is {row[column]!r}; it must be {allowed}") from None
    if None in row.values() or "beyond the last column" in row:
        raise InputError(f"{place}: has another number of values than the header")
    return values


def check_row(values, seen, path, line):
    """InputError if a row contradicts itself or repeats another; ``seen`` {(layer, source, persona): line} is extended."""
    place = f"{path}, line {line}"
    if values["persona"] == values["source"]:
        raise InputError(f"{place}: persona is '{values['persona']}', the source itself; a source is no bystander of its own")
    if values["found"] > values["total"]:
        raise InputError(f"{place}: found is {values['found']}; it must be at most total, {values['total']}")
    if abs(values["rate"] - values["found"] / values["total"]) > RATE_TOLERANCE:
        raise InputError(f"{place}: rate is {values['rate']}; found / total is {values['found']} / {values['total']}")
    key = (values["layer"], values["source"], values["persona"])
    if key in seen:
        raise InputError(f"{place}: repeats layer, source and persona of line {seen[key]}")
    seen[key] = line
    for subject, columns in ((key[1:], SAME_IN_ALL_LAYERS), (key[1:2], ("source_rate",))):
        known_line, known = seen.setdefault(subject, (line, values))
        for column in columns:
            if column in values and values[column] != known[column]:
                raise InputError(
                    f"{place}: {column} is {values[column]!r}, but {known[column]!r} for the same {subject} in line {known_line}"
                )


def choose_layer(table, args):
    """The layer to show: --headline-layer, or that of the settings, or the table's only one; InputError if it has no such layer."""
    layers = sorted(set(table["layer"]))
    wanted = args.settings.get("headline_layer") if args.headline_layer is None else args.headline_layer
    if wanted is None and len(layers) == 1:
        return layers[0]
    if wanted not in layers:
        said = "several layers" if wanted is None else f"no layer {wanted}"
        raise InputError(f"--headline-layer: {args.pairs} has {said}; choose one of {', '.join(map(str, layers))}")
    return wanted


def pairs_parser(program, description):
    """A parser for a program that works from a pairs table alone: --pairs, --output, --headline-layer."""
    parser = new_parser(
        program,
        description,
        "pairs",
        "output",
        default_settings={"min_category_size": 5},
        epilog=f"Columns of --pairs: {', '.join(REQUIRED)} (related: true or false); optional: {', '.join(OPTIONAL)}.",
    )
    parser.add_argument("--headline-layer", type=int, metavar="LAYER", help="the layer to show (default: the table's only one)")
    return parser
