"""Whether two evaluations of the same adapters agree: an exact-null test over all cells."""

import numpy as np

from persona_leakage.infrastructure.cli import InputError

DRAWS = 9999


def paired_counts(first, second):
    """Counts of two evaluations, cell by cell: (found1, total1, found2, total2), int64 [personas, questions] each.

    first, second: {persona: cell of an evaluation}. InputError if they are not of the same personas and questions.
    """
    for what, one, other in [
        ("personas", first, second),
        *((f"questions of '{name}'", first[name]["per_question"], second[name]["per_question"]) for name in first if name in second),
    ]:
        if set(one) != set(other):
            raise InputError(f"the two evaluations have different {what}: {', '.join(sorted(set(one) ^ set(other)))}")
    cells = [(first[name]["per_question"], second[name]["per_question"]) for name in first]
    rows = [[[one[q]["found"], one[q]["total"], other[q]["found"], other[q]["total"]] for q in sorted(one)] for one, other in cells]
    return tuple(np.moveaxis(np.array(rows, dtype=np.int64), -1, 0))


def agreement(found1, total1, found2, total2, seed=0, draws=DRAWS):
    """Two-sided test that both evaluations have the same rate in every cell, a cell being a persona.

    Arrays as from paired_counts; personas of several adapters may be stacked. Given how often a persona
    and question showed the behaviour in both together, the first's share of it is hypergeometric under the
    null, whatever the rates are. The statistic is the sum over personas of the squared standardised difference; its null is
    drawn from those hypergeometrics: p = (1 + draws at least as large) / (1 + draws).
    Returns {"cells", "informative_cells" (neither all nor none), "statistic", "p", "mean_difference" and
    "mean_difference_se" (rate of the first minus the second, mean over cells), "largest_difference"}.
    """
    both, total = found1 + found2, total1 + total2
    expected = both * total1 / total
    variance = expected * total2 / total * (total - both) / np.maximum(total - 1, 1)
    spread = variance.sum(-1)
    informative = spread > 0

    def statistic(found):
        return ((found - expected).sum(-1)[..., informative] ** 2 / spread[informative]).sum(-1)

    observed = statistic(found1)
    generator = np.random.default_rng(seed)
    null = np.array([statistic(generator.hypergeometric(both, total - both, total1)) for _ in range(draws)])
    rate1, rate2 = found1.sum(-1) / total1.sum(-1), found2.sum(-1) / total2.sum(-1)
    # Var(found1 - expected) carried over to the difference of the two rates
    scale = total.sum(-1) / (total1.sum(-1) * total2.sum(-1))
    return {
        "cells": len(spread),
        "informative_cells": int(informative.sum()),
        "statistic": float(observed),
        "p": float((1 + (null >= observed * (1 - 1e-12)).sum()) / (1 + draws)),
        "mean_difference": float((rate1 - rate2).mean()),
        "mean_difference_se": float(np.sqrt((spread * scale**2).sum()) / len(spread)),
        "largest_difference": float(np.abs(rate1 - rate2).max()),
    }
