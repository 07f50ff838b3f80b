"""The data of the report's explorer: points of every set, layer and source, and a sample of replies; compressed."""

import base64
import gzip
import json

import numpy as np

from persona_leakage.infrastructure.intervals import wilson_interval
from persona_leakage.infrastructure.undefined import finite
from persona_leakage.infrastructure.visible_text import visible_text
from persona_leakage.reporting.replies import MAX_TEXT, affordable, draw_replies
from persona_leakage.statistics.leakage.outcomes import LOGPROB_GAIN, MEAN_SCORE

TEXT_BUDGET = 6_000_000  # characters of replies in the page, before compression


def explorer_data(sets, personas, highlight):
    """What explorer.js reads: {"highlight", "personas", "sets", "per_cell"}.

    sets: [{"title", "pairs": DataFrame, "replies": {source: cells of read_replies}, "file": pattern, "headline_layer",
    "correlations"}];
    personas: {name: Persona}; highlight: of the Behaviour.
    """
    names = sorted({*sets[0]["pairs"]["persona"], *sets[0]["pairs"]["source"]})
    index_of = {name: position for position, name in enumerate(names)}
    per_cell = affordable([cells for each in sets for cells in each["replies"].values()], TEXT_BUDGET)
    return {
        "highlight": highlight,
        "personas": [{"name": name, "category": personas[name].category, "prompt": personas[name].prompt} for name in names],
        "per_cell": per_cell,
        "sets": [describe_set(each, index_of, per_cell) for each in sets],
    }


def describe_set(each, index_of, per_cell):
    """One question set and training seed: points by layer and source, replies by source and persona."""
    pairs, questions = each["pairs"], {}
    layers, sources = sorted(set(pairs["layer"].tolist())), list(dict.fromkeys(pairs["source"]))
    first = pairs[pairs["layer"] == layers[0]]
    rates = {}
    for source in sources:
        rows = first[first["source"] == source]
        rates[source] = {
            "own": float(rows["source_rate"].iloc[0]),
            "personas": [index_of[name] for name in rows["persona"]],
            "found": rows["found"].tolist(),
            "total": rows["total"].tolist(),
            "interval": [np.round(wilson_interval(row.found, row.total), 4).tolist() for row in rows.itertuples()],
            "related": rows["related"].tolist(),
        }
        if LOGPROB_GAIN in rows:
            rates[source] |= {LOGPROB_GAIN: rounded(rows[LOGPROB_GAIN]), f"own_{LOGPROB_GAIN}": finite(rows["source_logprob_gain"].iloc[0])}
        if "outcome" in rows:
            rates[source] |= {MEAN_SCORE: rounded(rows["leakage"]), f"own_{MEAN_SCORE}": finite(rows["source_leakage"].iloc[0])}
    cosines = {
        layer: {source: rounded(rows["cosine"]) for source, rows in pairs[pairs["layer"] == layer].groupby("source", sort=False)}
        for layer in layers
    }
    replies = {}
    for source, cells in each["replies"].items():
        drawn = draw_replies(cells, per_cell, [each["title"], source])
        replies[source] = {
            index_of[persona]: [
                [
                    questions.setdefault(question, len(questions)),
                    visible_text(text[:MAX_TEXT]),
                    cut + 2 * (len(text) > MAX_TEXT) + 4 * shows,
                ]
                for question, text, cut, shows in texts
            ]
            for persona, texts in drawn.items()
        }
    return {
        "title": each["title"],
        "file": each["file"],
        "headline_layer": each["headline_layer"],
        "sources": sources,
        "rates": rates,
        "cosines": cosines,
        "correlations": each["correlations"],
        "questions": list(questions),
        "replies": replies,
        "replies_per_cell": max((len(texts) for cells in each["replies"].values() for texts in cells.values()), default=0),
    }


def rounded(values):
    """Values for the page, four decimals each; None for NaN."""
    return [None if np.isnan(value) else round(value, 4) for value in values]


def pack(text):
    """Text as gzip in base64, without a time stamp: what explorer.js unpacks."""
    return base64.b64encode(gzip.compress(text.encode("utf-8"), 9, mtime=0)).decode("ascii")


def pack_json(content):
    """JSON without spaces, packed."""
    return pack(json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False))
