"""divergence.json: next-token divergence of each source and every other persona, along the replies of either."""

import numpy as np

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json

SOURCE_REPLIES, BYSTANDER_REPLIES = "js_source_replies", "js_bystander_replies"  # also columns of pairs.csv
COLUMNS = (SOURCE_REPLIES, BYSTANDER_REPLIES)


def mean_divergences(work, sums):
    """({column: {source: {persona: bits}}}, {persona: positions of its replies}).

    work: [(column, source, persona, Comparison)]; sums: of each Comparison the divergence in bits, summed over the
    len(reply) + 1 positions of its reply. A mean is over all positions of all replies.
    """
    totals, positions, means = {}, {}, {column: {} for column in COLUMNS}
    for (*pair, item), value in zip(work, sums, strict=True):
        total, count = totals.get(tuple(pair), (0.0, 0))
        totals[tuple(pair)] = total + value, count + len(item.reply) + 1
    for (column, source, persona), (total, count) in totals.items():
        means[column].setdefault(source, {})[persona] = total / count
        positions[source if column == SOURCE_REPLIES else persona] = count
    return means, positions


def read_divergences(path, names, sources):
    """{column: bits [personas, personas]} of a divergence.json, in the order of ``names``; NaN outside the rows of ``sources``.

    InputError if a pair of a source and another persona has no number from 0 to 1.
    """
    content = read_json(path, "measure_divergence")
    table = content.get("divergence")
    if not isinstance(table, dict) or not {*COLUMNS} <= {*table}:
        raise InputError(f"{path}: must hold divergence with {' and '.join(COLUMNS)}; delete the file and measure again")
    found = {}
    for column in COLUMNS:
        found[column] = np.full((len(names), len(names)), np.nan)
        for source in sources:
            row = table[column].get(source) if isinstance(table[column], dict) else None
            for index, persona in enumerate(names):
                if persona != source:
                    value = row.get(persona) if isinstance(row, dict) else None
                    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                        raise InputError(f"{path}: divergence.{column}.{source}.{persona} is {value!r}; it must be a number from 0 to 1")
                    found[column][names.index(source), index] = value
    return found
