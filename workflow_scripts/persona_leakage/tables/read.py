"""Reading tables of pairs, the workflow's own or a user's, with every value checked; options of the programs that read them."""

import math
from pathlib import Path
from typing import get_args

from persona_leakage.behaviours.training_check import RATE_TOLERANCE
from persona_leakage.config.blocks.settings import Headline
from persona_leakage.config.blocks.training_data import Control
from persona_leakage.config.program_options import new_parser
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.csv_reader import (
    COSINE,
    COUNT,
    FLAG,
    LENGTH,
    MEASURED_COSINE,
    MEASURED_LENGTH,
    MEASURED_NUMBER,
    MEASURED_SHARE,
    NAME,
    POSITIVE,
    SHARE,
    read_table,
    refuse_repeats,
)
from persona_leakage.infrastructure.files import check_digests
from persona_leakage.tables.mean_scores import PAIR_COLUMNS, check_means, sign_of

REQUIRED = {
    "layer": COUNT,
    "source": NAME,
    "persona": NAME,
    "category": NAME,
    "related": FLAG,
    "cosine": MEASURED_COSINE,
    "rate": MEASURED_SHARE,
    "found": COUNT,
    "total": POSITIVE,
}
CONTROLS = get_args(Control)
BOTH = ("base_both", *(name.format(control) for control in CONTROLS for name in ("{}_both", "{}_base_both")))
SAME_FOR = {
    ("source", "persona"): (
        *("related", "rate", "found", "total", "negative", "leakage", "leakage_se", "outcome", "scored", "questions"),
        *BOTH,
        *("js_source_replies", "js_bystander_replies", "logprob_gain", "logprob_replies"),
        *(name.format(control) for control in CONTROLS for name in ("{}_rate", "leakage_beyond_{}", "leakage_beyond_{}_se")),
    ),
    ("source",): (
        *(f"source_{control}_rate" for control in CONTROLS),
        *("source_rate", "source_total", "source_base_rate", "source_base_reply_tokens", "source_logprob_gain"),
        *(name for name in PAIR_COLUMNS if name.startswith("source_")),
        *(f"source_{name}" for name in BOTH),
    ),
    ("persona",): ("category", "base_rate", "base_outcome", "prompt_tokens", "base_reply_tokens"),
}
FORMATS = (".pdf", ".png", ".svg")  # a figure is written in all of them
OPTIONAL = {
    "negative": FLAG,
    "cosine_raw": MEASURED_COSINE,
    "cosine_whitened": MEASURED_COSINE,
    "word_similarity": COSINE,
    "char_similarity": COSINE,
    "embedding_similarity": COSINE,
    "js_source_replies": SHARE,
    "js_bystander_replies": SHARE,
    "base_rate": SHARE,
    "source_rate": SHARE,
    "source_total": POSITIVE,
    "source_base_rate": SHARE,
    "prompt_tokens": COUNT,
    "logprob_gain": MEASURED_NUMBER,
    "logprob_replies": COUNT,
    "source_logprob_gain": MEASURED_NUMBER,
    "base_reply_tokens": LENGTH,
    "source_base_reply_tokens": LENGTH,
    **PAIR_COLUMNS,
    **{f"{whose}{name}": COUNT for name in BOTH for whose in ("", "source_")},
    **{f"{whose}{control}_rate": SHARE for control in CONTROLS for whose in ("", "source_")},
    **{f"leakage_beyond_{control}": MEASURED_COSINE for control in CONTROLS},
    **{f"leakage_beyond_{control}_se": MEASURED_LENGTH for control in CONTROLS},
}
DIFFERENCES = {"leakage": "base_rate"} | {f"leakage_beyond_{control}": f"{control}_rate" for control in CONTROLS}


def read_pairs(path):
    """Read a CSV of pairs into a DataFrame: the columns of REQUIRED, and those of OPTIONAL that it has (see read_table).

    A row per (layer, source, persona); see tabulate_pairs for what the columns mean.
    """
    table = read_table(path, REQUIRED, OPTIONAL, check_row)
    if ("logprob_gain" in table) != ("logprob_replies" in table):
        raise InputError(f"{path}: has one of the columns logprob_gain and logprob_replies; give both, or neither")
    if "outcome" in table:
        sign_of(table, path)
    check_layers_whole(table, path)
    return table


def check_layers_whole(table, path):
    """InputError if a pair lacks a layer that another has: layers would be compared, and means taken, over different pairs."""
    layers = set(table["layer"])
    for (source, persona), found in table.groupby(["source", "persona"], sort=False)["layer"]:
        if lacking := sorted(layers - set(found)):
            raise InputError(
                f"{path}: persona '{persona}' with source '{source}' has no row of layer {lacking[0]}, but other pairs have;"
                " add the row, or remove the layer's others"
            )


def check_row(values, seen, path, line):
    """InputError if a row contradicts itself or repeats another; ``seen`` {(layer, source, persona): line} is extended."""
    place = f"{path}, line {line}"
    if values["persona"] == values["source"]:
        raise InputError(f"{place}: persona is '{values['persona']}', the source itself; a source cannot be its own bystander")
    if values["found"] > values["total"]:
        raise InputError(f"{place}: found is {values['found']}; it must be at most total, {values['total']}")
    if abs(values["rate"] - values["found"] / values["total"]) > RATE_TOLERANCE:
        raise InputError(f"{place}: rate is {values['rate']}; found / total is {values['found']} / {values['total']}")
    check_leakage(values, place)
    refuse_repeats("layer", "source", "persona")(values, seen, path, line)
    if "logprob_gain" in values and "logprob_replies" in values:
        gain, replies = values["logprob_gain"], values["logprob_replies"]
        if math.isnan(gain) != (replies == 0):
            said = f"logprob_gain is {gain} but logprob_replies is {replies}"
            raise InputError(f"{place}: {said}; it must be nan where there are none, else a number")
    for subject, columns in SAME_FOR.items():
        names = tuple(values[column] for column in subject)
        known_line, known = seen.setdefault((subject, names), (line, values))
        for column in columns:
            if column in values and str(values[column]) != str(known[column]):  # as text, for nan is not equal to itself
                raise InputError(
                    f"{place}: {column} is {values[column]!r}, but {known[column]!r} for the same {names} in line {known_line}"
                )


def check_leakage(values, place):
    """InputError unless leakage is rate minus base_rate (for a control, minus its rate) up to rounding, and NaN without a rate.

    In a table of mean scores, leakage is the change of the mean score; see check_means.
    """
    if "outcome" in values:
        check_means(values, place)
    for column, other in DIFFERENCES.items():
        if column not in values or (column == "leakage" and "outcome" in values):
            continue
        if other not in values:
            raise InputError(f"{place}: {column} is {values[column]}, but the table has no column {other}; add it, or leave {column} out")
        expected = values["rate"] - values[other]
        if math.isnan(expected) != math.isnan(values[column]) or abs(expected - values[column]) > 2 * RATE_TOLERANCE:
            said = f"{column} is {values[column]}, but rate - {other} is {values['rate']} - {values[other]}"
            raise InputError(f"{place}: {said}; give their difference, or leave the column out")


def choose_layer(table, args, known=None):
    """The layer to show: --headline-layer, that of the settings, ``known``, or the table's only one; InputError if it has no such layer."""
    layers = sorted(set(table["layer"]))
    wanted = args.settings.headline_layer if args.headline_layer is None else args.headline_layer
    wanted = known if wanted is None else wanted
    if wanted is None and len(layers) == 1:
        return layers[0]
    if wanted not in layers:
        said = "several layers" if wanted is None else f"no layer {wanted}"
        raise InputError(f"--headline-layer: {args.pairs} has {said}; choose one of {', '.join(map(str, layers))}")
    return wanted


def read_checked_pairs(args):
    """The table of --pairs, after comparing its digest with --tables, if that is given; InputError if an output would replace an input."""
    refuse_to_replace(args)
    if args.tables:
        check_digests([args.pairs], args.tables)
    return read_pairs(args.pairs)


def refuse_to_replace(args):
    """InputError if --output, or another format of the figure, is a file that another option names."""
    output = Path(args.output).resolve()
    written = {output, *(output.with_suffix(suffix) for suffix in FORMATS if output.suffix in FORMATS)}
    for option, value in vars(args).items():
        if option != "output" and isinstance(value, str) and Path(value).resolve() in written:
            raise InputError(f"--output: would replace {value}, the file of --{option.replace('_', '-')}; give another path")


def read_layer(args):
    """(pairs of the chosen layer, that layer) from the options of pairs_parser."""
    table = read_checked_pairs(args)
    layer = choose_layer(table, args)
    return table[table["layer"] == layer], layer


def pairs_parser(program, description, settings=Headline, optional=()):
    """A parser for a program that works from a pairs table alone: --pairs, --output, --tables, --headline-layer.

    settings: the class of --settings, a Headline.
    """
    parser = new_parser(program, description, "output", optional=optional, settings=settings)
    add_pairs(parser)
    add_headline_layer(parser)
    return parser


def add_pairs(parser):
    """The options of a pairs table, which read_checked_pairs reads."""
    parser.add_argument("--pairs", required=True, metavar="PATH")
    parser.add_argument(
        "--tables", metavar="PATH", help="tables.json of the same folder: a pairs table that it does not describe is refused"
    )
    parser.epilog = f"Columns of --pairs: {', '.join(REQUIRED)} (related: true or false); optional: {', '.join(OPTIONAL)}."


def add_headline_layer(parser):
    """The option that chooses a layer of the pairs table, which choose_layer reads."""
    parser.add_argument("--headline-layer", type=int, metavar="LAYER", help="the layer to show (default: the table's only one)")
