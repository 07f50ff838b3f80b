"""The measured leakage itself: an interval for each cell, exact zeros, and bystanders above their source."""

from persona_leakage.intervals import wilson_interval


def summarise_rates(table):
    """{source: {"source_rate", "n", "zeros", "bystanders_above_source", "cells": {persona: {"rate", "found", "total", "interval"}}}}.

    From the rows of one layer, for leakage is the same in all. bystanders_above_source is None where the table does not
    have the source's own rate or a bystander's is missing.
    """
    result = {}
    pairs = table.drop_duplicates(["source", "persona"])
    for source, rows in pairs.groupby("source", sort=False):
        known = rows[rows["rate"].notna()]
        own = float(rows["source_rate"].iloc[0]) if "source_rate" in rows else None
        result[source] = {
            "source_rate": own,
            "n": len(rows),
            "zeros": int((known["found"] == 0).sum()),
            "bystanders_above_source": int((known["rate"] > own).sum()) if own is not None and len(known) == len(rows) else None,
            "cells": {
                row.persona: {
                    "rate": float(row.rate),
                    "found": int(row.found),
                    "total": int(row.total),
                    "interval": wilson_interval(row.found, row.total),
                }
                for row in known.itertuples()
            },
        }
    return result
