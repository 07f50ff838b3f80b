"""divergence.json: next-token divergence of each source and every other persona, along the replies of either."""

import numpy as np

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

    InputError if a pair of a source and another persona has no number.
    """
    table = read_json(path, "measure_divergence")["divergence"]
    found = {column: np.full((len(names), len(names)), np.nan) for column in COLUMNS}
    for column, matrix in found.items():
        for source in sources:
            for index, persona in enumerate(names):
                if persona != source:
                    matrix[names.index(source), index] = table[column][source][persona]
    return found
