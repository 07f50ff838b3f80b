"""Whether an engine applies an adapter: what log-probabilities must and must not do."""

import math

TOLERANCE = 0.25  # nats; sums in another order move a bfloat16 log-probability by less
MARGIN = 2  # times the idle copy's difference: what the adapter's must exceed


def largest_difference(first, second):
    """Largest absolute difference of log-probabilities up to where two greedy replies part; inf if one is not a number.

    first, second: {prompt: [(token id, log-probability)]}. Where two replies part the values are of two
    tokens, each the likeliest: near a tie they are nearly equal too.
    """
    largest = 0.0
    for prompt, steps in first.items():
        for (token, value), (other, other_value) in zip(steps, second[prompt], strict=False):
            difference = abs(value - other_value)
            largest = max(largest, math.inf if math.isnan(difference) else difference)
            if token != other:
                break
    return largest


def fault_of(difference, idle_difference):
    """What is wrong, None if nothing: an idle copy (B = 0) must leave the base model as it is, the adapter must move it by more."""
    if idle_difference > TOLERANCE:
        return (
            f"with B = 0 the engine differs from the base model by {idle_difference:.3g} nats (allowed: {TOLERANCE});"
            " it does not apply adapters correctly here; use engine.name: transformers"
        )
    if not difference > MARGIN * idle_difference:
        return (
            f"the engine gives the base model's log-probabilities with it (difference {difference:.3g} nats,"
            f" {idle_difference:.3g} with B = 0); the adapter has no effect"
        )
    return None
