"""Simulated studies with sampled replies, analysed as real ones: how often their intervals are above 0."""

import numpy as np

from persona_leakage.infrastructure.intervals import next_interval
from persona_leakage.statistics.core.bootstrap import describe_mean, draw_bootstrap
from persona_leakage.statistics.core.pair_matrices import PairMatrices
from persona_leakage.statistics.core.ranks import standard_ranks
from persona_leakage.statistics.prediction.power import Components, Design, measured_rates, true_rates

BOOTSTRAPS = 200
MEASURED = {"rate": 0.08, "persona": 0.12, "training": 0.02, "question": 0.1, "shared": 0.05}
# Designs that the check tries, chosen before their results were computed; the last four after a formula missed one of the others.
DESIGNS = [
    (Components(rho=0.5, rho_sd=0.2, **MEASURED), Design(30, 3, 10, 3, 1)),
    (Components(rho=0.3, rho_sd=0.2, **MEASURED), Design(30, 5, 10, 3, 1)),
    (Components(rho=0.5, rho_sd=0.3, **MEASURED), Design(111, 5, 20, 10, 1)),
    (Components(rho=0.2, rho_sd=0.2, **MEASURED), Design(111, 10, 20, 3, 1)),
    (Components(rho=0.3, rho_sd=0.4, **MEASURED), Design(60, 20, 10, 2, 1)),
    (Components(rho=0.4, rho_sd=0.3, **MEASURED), Design(60, 8, 10, 5, 3)),
    (
        Components(rho=0.545, rho_sd=0.369, rate=0.077, persona=0.063, training=0.005, question=0.038, shared=0.009),
        Design(29, 5, 20, 1, 1),
    ),
    (Components(rho=0.3, rho_sd=0.2, **MEASURED | {"shared": 0.2}), Design(60, 10, 10, 3, 1)),
    (Components(rho=0.25, rho_sd=0.1, rate=0.3, persona=0.3, training=0.05, question=0.2, shared=0.1), Design(40, 12, 10, 4, 2)),
    (Components(rho=0.35, rho_sd=0.3, rate=0.03, persona=0.08, training=0.02, question=0.1, shared=0.05), Design(110, 8, 20, 1, 1)),
]


def draw_study(components, design, generator):
    """(closeness, measured leakage) [sources, personas] of one study; sources share a part of both."""
    shape = (design.sources, design.personas)
    shared = components.shared**0.25  # the product of the two correlations between sources is components.shared
    parts = [shared * generator.normal(size=shape[1]) + (1 - shared**2) ** 0.5 * generator.normal(size=shape) for _ in range(2)]
    rho = np.tanh(np.arctanh(components.rho) + components.rho_sd * generator.normal(size=(shape[0], 1)))
    latent = rho * parts[0] + (1 - rho**2) ** 0.5 * parts[1]
    return parts[0], measured_rates(components, design, true_rates(components, latent), generator)


def intervals_of(closeness, leakage, seed):
    """(interval of the mean of sources like these, or None; interval of a new source) as the report gives them."""
    sources, personas = ([f"{kind}{index}" for index in range(size)] for kind, size in zip("sp", leakage.shape, strict=True))
    matrices = PairMatrices(
        layers=[0],
        sources=sources,
        personas=personas,
        categories=np.full(len(personas), "one", dtype=object),
        cosines={"cosine": closeness[None]},
        rate=leakage,
        found=leakage,
        total=np.ones_like(leakage),
        related=np.zeros(leakage.shape, dtype=bool),
    )
    rhos = np.nan_to_num((standard_ranks(closeness) * standard_ranks(leakage)).sum(axis=1))
    bootstrap = draw_bootstrap(matrices, list(range(len(sources))), BOOTSTRAPS, seed)
    return describe_mean(bootstrap, 0, list(rhos))["interval_over_sources"], next_interval(rhos)


def simulated_power(components, design, studies, seed):
    """{"mean_power", "new_source_power"}: shares of simulated studies whose interval is above 0; None where there is none."""
    above = {"mean_power": [], "new_source_power": []}
    for number in range(studies):
        closeness, leakage = draw_study(components, design, np.random.default_rng([seed, number]))
        for name, interval in zip(above, intervals_of(closeness, leakage, [seed, number]), strict=True):
            above[name].append(None if interval is None else interval[0] > 0)
    return {name: None if None in values else float(np.mean(values)) for name, values in above.items()}
