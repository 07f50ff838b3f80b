"""How many tokens a model can take at once, and what to say when a job has more."""

from persona_leakage.errors import InputError

WINDOW, POSITIONS = "window", "positions"


def limits_of(config):
    """{"window": width of sliding attention, "positions": trained positions} of a text model's config, in tokens; None: no limit."""
    return {WINDOW: getattr(config, "sliding_window", None), POSITIONS: getattr(config, "max_position_embeddings", None)}


def check_length(limits, longest, key, unit):
    """InputError, naming the config ``key`` to change, if a sequence of ``longest`` tokens is beyond one of the limits_of a model.

    Beyond the window the workflow's plain attention would not be the model's; beyond its positions it was never trained.
    unit: what the sequence is, for the message.
    """
    for name, most in limits.items():
        if most and longest > most:
            said = f"window of {most}" if name == WINDOW else f"{most} positions (max_position_embeddings)"
            raise InputError(f"{key}: {unit} of {longest} tokens exceed this model's {said}")
