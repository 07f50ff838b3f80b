"""Synthetic experiments with base rates above 0: training moves all personas to one level, with or without an effect of closeness.

The sources are of one family, and personas close to them show the behaviour less before training. Levelling therefore
raises the close ones most. EXPECTED has the right answer for each world.
"""

from functools import partial

import numpy as np

from persona_leakage.statistics.leakage.claims import CANNOT_TELL, NOT_SUPPORTED, SUPPORTED, conclude_association
from persona_leakage.statistics.leakage.summary import analyse
from persona_leakage.statistics.validation.null_worlds import OPTIONS, SOURCES, Drawn, cosines_of, draw, experiment, levels

ENTRIES = ("association", "base_confound", "even_spread")
SCATTER = 0.3  # log-odds after training, of each pair's own
SLOPE = 0.5  # log-odds after training for a standard deviation of the cosine, where closeness has an effect


def world(generator, slope=0.0, scatter=SCATTER, tied=1.0, kept=0.0):
    """Drawn: before training log-odds of -1.5 minus ``tied`` standard deviations of closeness to the sources, and noise of 0.5.

    After training, log-odds of a level of each source, with ``scatter``, ``slope`` for each standard deviation of the cosine, and a
    share ``kept`` of what a persona had before.
    """
    vectors, family, noise = draw(generator, source_families=0)
    close = cosines_of(vectors)[:SOURCES]
    shared = close.mean(axis=0)
    start = -1.5 - tied * (shared - shared.mean()) / shared.std() + 0.5 * generator.normal(size=len(family))
    logits = levels(generator, 0.0) + kept * (start - start.mean()) + slope * close / close.std() + scatter * noise
    return Drawn(vectors, logits, family, 1 / (1 + np.exp(-start)))


WORLDS = {
    "levelling": world,
    "half levelling": partial(world, kept=0.5),
    "even spread": partial(world, scatter=0.0),
    "pair effect on levelling": partial(world, slope=SLOPE),
    "pair effect, equal beginnings": partial(world, slope=SLOPE, tied=0.0),
}
# {world: {entry of the verdict: the answers that are right}}
EXPECTED = {
    "levelling": {"association": (CANNOT_TELL, NOT_SUPPORTED)},
    "half levelling": {"association": (CANNOT_TELL, NOT_SUPPORTED)},
    "even spread": {"association": (CANNOT_TELL,), "even_spread": (NOT_SUPPORTED,)},
    "pair effect on levelling": {"association": (SUPPORTED,), "base_confound": (SUPPORTED,), "even_spread": (SUPPORTED,)},
    "pair effect, equal beginnings": {"association": (SUPPORTED,), "base_confound": (SUPPORTED,), "even_spread": (SUPPORTED,)},
}


def levelling_answers(drawn_world, seed):
    """{entry of ENTRIES: answer} of one synthetic experiment, and "association without base": without the test of base rates."""
    generator = np.random.default_rng(seed)
    table, counts, cosines = experiment(drawn_world(generator), generator)
    result = analyse(table.drop(columns=["logprob_gain", "logprob_replies"]), 0, OPTIONS, counts, cosines)
    found = {entry["id"]: entry["answer"] for entry in result["verdict"]}
    unasked = conclude_association(result, result["layers"]["0"])[0]
    return {**{entry: found[entry] for entry in ENTRIES}, "association without base": unasked}
