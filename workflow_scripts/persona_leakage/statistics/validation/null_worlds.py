"""Synthetic experiments with related personas: how often is a verdict "supported", and is that correct?

In simulation.py personas are independent of each other. Here they are not: closeness and leakage are smooth over families or
over a space of personas, sources differ in gain, one persona dominates, tails are heavy, leakage lies near the floor or equals
the base model's.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from persona_leakage.statistics.leakage.claims import SUPPORTED
from persona_leakage.statistics.leakage.outcomes import LOGPROB_GAIN
from persona_leakage.statistics.leakage.summary import analyse

BY_GAIN = "{}, by gain"
BY_RATE_CLAIMS = ("association", "pair_specific", "beyond_baselines")
CLAIMS = (*BY_RATE_CLAIMS, *map(BY_GAIN.format, BY_RATE_CLAIMS))
OPTIONS = {"min_category_size": 5, "permutations": 299, "bootstraps": 200}
SOURCES, BYSTANDERS, DIMENSIONS, FAMILIES, QUESTIONS, REPLIES = 5, 105, 12, 15, 20, 10


@dataclass(frozen=True)
class Drawn:
    """vectors [P, D] of personas, whose cosines are the geometry; logits [S, P] of leakage; family [P].

    base [P]: the base model's rates; lengths [P]: mean reply length without adapter, in tokens; None: not measured.
    """

    vectors: np.ndarray
    logits: np.ndarray
    family: np.ndarray
    base: np.ndarray | float = 0.0
    lengths: np.ndarray | None = None


def draw(generator, spread=1.0, tails=None, families=FAMILIES, source_families=None):
    """(vectors, family, noise [S, P]) that every world begins with: families around centres, ``spread`` of them against that within.

    families: how many; source_families: those of the sources, else each has another one.
    """
    size = SOURCES + BYSTANDERS
    family = np.arange(size) % families
    if source_families is not None:
        family[:SOURCES] = source_families
    normal = generator.normal if tails is None else lambda size: generator.standard_t(tails, size)
    vectors = spread * normal(size=(FAMILIES, DIMENSIONS))[family] + normal(size=(size, DIMENSIONS))
    return vectors, family, normal(size=(SOURCES, size))


def levels(generator, baseline=-1.5):
    """A level of each source [S, 1]."""
    return baseline + generator.normal(size=(SOURCES, 1))


def independent(generator):
    """No families and no relation."""
    vectors, family, noise = draw(generator, spread=0.0)
    return Drawn(vectors, levels(generator) + noise, family)


def families(generator, count=FAMILIES, tails=None, weights=(1.0, 0.7)):
    """``count`` families of personas, close in the geometry and alike in leakage; distances between families do not decide leakage.

    With five, each source has many relatives. tails: degrees of freedom of vectors and leakage with outliers (Student's t). weights: of the
    families and of the rest in leakage.
    """
    vectors, family, noise = draw(generator, tails=tails, families=count)
    size = SOURCES, count
    effects = (generator.normal(size=size) if tails is None else generator.standard_t(tails, size))[:, family]
    return Drawn(vectors, levels(generator) + weights[0] * effects + weights[1] * noise, family)


def sources_alike(generator, groups=(0,) * SOURCES):
    """Sources are of the families ``groups``; those of one leak alike, along a direction of the family's own that is not their position."""
    vectors, family, noise = draw(generator, spread=2.0, source_families=groups)
    return Drawn(vectors, levels(generator) + along(vectors, generator, max(groups) + 1)[[*groups]] + 0.5 * noise, family)


def along(vectors, generator, count):
    """Places of all personas along ``count`` random directions, scaled alike: [count, P]."""
    positions = generator.normal(size=(count, DIMENSIONS)) @ (vectors - vectors.mean(axis=0)).T
    return positions / positions.std(axis=1, keepdims=True)


def smooth(generator):
    """Leakage is smooth in the space of personas: along a direction of each source's own that is not its position there."""
    vectors, family, noise = draw(generator)
    return Drawn(vectors, levels(generator) + along(vectors, generator, SOURCES) + 0.5 * noise, family)


def gain(generator):
    """What bystanders do in general goes with their closeness to all, and each source spreads it more or less steeply."""
    vectors, family, noise = draw(generator, spread=0.5)
    hub = generator.normal(size=len(family))
    vectors = vectors + 2.0 * hub[:, None] * np.ones(DIMENSIONS) / np.sqrt(DIMENSIONS)
    general = 0.8 * hub + 0.6 * generator.normal(size=len(family))
    steepness = np.exp(0.5 * generator.normal(size=(SOURCES, 1)))
    return Drawn(vectors, levels(generator) + steepness * general + 0.3 * noise, family)


def near_floor(generator):
    """As families, with most rates at 0 and some bystanders immune under all sources."""
    drawn = families(generator)
    immune = generator.random(len(drawn.family)) < 0.4
    return Drawn(drawn.vectors, drawn.logits - 3.0 - 20.0 * immune, drawn.base, drawn.family)


def dominant(generator):
    """One bystander lies close to all personas and nearly always leaks."""
    drawn = independent(generator)
    drawn.vectors[-1] = 3 * drawn.vectors[:SOURCES].mean(axis=0)
    drawn.logits[:, -1] = 3.0
    return drawn


def as_the_control(generator):
    """Personas show the behaviour without any adapter, those close to the sources more, and training changes nothing."""
    vectors, family, _ = draw(generator)
    close = cosines_of(vectors)[:SOURCES].mean(axis=0)
    logits = np.broadcast_to(-1.0 + close / close.std(), (SOURCES, len(family)))
    return Drawn(vectors, logits, family, 1 / (1 + np.exp(-logits[0])))


def reply_length(generator):
    """Personas leak as far as their replies are about as long as the source's, and nothing else; their geometry follows reply length.

    A vector has bumps along the range of lengths, so the cosine falls with the difference in length.
    """
    vectors, family, noise = draw(generator, spread=0.3)
    position = generator.uniform(size=len(family))
    bumps = np.exp(-((position[:, None] - np.linspace(0, 1, DIMENSIONS)) ** 2) / (2 * 0.15**2))
    logits = levels(generator) - 6.0 * np.abs(position - position[:SOURCES, None]) + 0.3 * noise
    return Drawn(vectors + 8.0 * bumps, logits, family, lengths=20 + 60 * position)


def close_leaks(generator):
    """The claim is true: leakage follows the closeness of the pair; the mean rank correlation is about .75."""
    vectors, family, noise = draw(generator)
    close = cosines_of(vectors)[:SOURCES]
    return Drawn(vectors, levels(generator) + 1.25 * close / close.std() + noise, family)


NULL_WORLDS = {
    "independent": independent,
    "families": families,
    "few families": partial(families, count=5),
    "sources alike": sources_alike,
    "two groups of sources": partial(sources_alike, groups=(0, 0, 0, 1, 1)),
    "smooth": smooth,
    "gain": gain,
    "near the floor": near_floor,
    "one dominant persona": dominant,
    "heavy tails": partial(families, tails=2.5, weights=(0.5, 0.5)),
    "as the control": as_the_control,
    "reply length": reply_length,
}
# Where a claim is true although closeness does nothing: closeness to all goes with leaking under all, or reply length with both.
TRUE_IN = {
    "gain": ("association", BY_GAIN.format("association")),
    "reply length": ("association", "pair_specific", BY_GAIN.format("association"), BY_GAIN.format("pair_specific")),
}


def cosines_of(vectors):
    """Cosines between centred vectors: [P, P]."""
    centred = vectors - vectors.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    return unit @ unit.T


def experiment(drawn, generator):
    """(pairs table, counts {"found", "total"} [S, P, questions], cosines [1, P, P]) of one synthetic experiment, as analyse takes them."""
    names = np.array([f"{'source' if index < SOURCES else 'persona'}{index:03d}" for index in range(len(drawn.family))])
    order = np.argsort(names)
    cosines = cosines_of(drawn.vectors)
    chances = 1 / (1 + np.exp(-drawn.logits[..., None] - 0.5 * generator.normal(size=(*drawn.logits.shape, QUESTIONS))))
    found = generator.binomial(REPLIES, chances)
    total = np.full_like(found, REPLIES)
    chance = np.broadcast_to(drawn.base, len(names))
    base = generator.binomial(QUESTIONS * REPLIES, chance) / (QUESTIONS * REPLIES)
    tokens = generator.integers(6, 28, size=len(names))
    control = np.log(chance / (1 - chance), out=np.zeros(len(names)), where=chance > 0)
    gains = drawn.logits - control + 0.2 * generator.normal(size=drawn.logits.shape)
    rows = [
        {
            "layer": 0,
            "source": names[source],
            "persona": names[persona],
            "category": f"family{drawn.family[persona]}",
            "related": bool(drawn.family[source] == drawn.family[persona]),
            "cosine": cosines[source, persona],
            "found": int(found[source, persona].sum()),
            "total": QUESTIONS * REPLIES,
            "rate": found[source, persona].sum() / (QUESTIONS * REPLIES),
            "base_rate": base[persona],
            "prompt_tokens": int(tokens[persona]),
            "logprob_gain": gains[source, persona],
            "logprob_replies": QUESTIONS,
            **({} if drawn.lengths is None else {"base_reply_tokens": float(drawn.lengths[persona])}),
        }
        for source in range(SOURCES)
        for persona in range(len(names))
        if source != persona
    ]
    counts = {key: values[:, order].astype(float) for key, values in (("found", found), ("total", total))}
    for values in counts.values():
        values[np.arange(SOURCES), [order.tolist().index(source) for source in range(SOURCES)]] = np.nan
    return pd.DataFrame(rows), counts, cosines[np.ix_(order, order)][None]


def answers(world, seed, with_cosines=True):
    """{claim: answer} of the verdict on one synthetic experiment of a world, by either outcome, and {"mean_rho"}; claims: see CLAIMS."""
    generator = np.random.default_rng(seed)
    table, counts, cosines = experiment(world(generator), generator)
    result = analyse(table, 0, OPTIONS, counts, cosines if with_cosines else None)
    entries = {entry["id"]: entry["answer"] for entry in result["verdict"]}
    entries |= {BY_GAIN.format(entry["id"]): entry["answer"] for entry in result["outcomes"][LOGPROB_GAIN]["verdict"]}
    return {claim: entries[claim] for claim in CLAIMS} | {"mean_rho": result["layers"]["0"]["within_source"]["mean_rho"]}


def supported(found):
    """{claim: share of "supported"} of many answers()."""
    return {claim: float(np.mean([each[claim] == SUPPORTED for each in found])) for claim in CLAIMS}
