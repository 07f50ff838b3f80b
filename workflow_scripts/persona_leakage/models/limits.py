"""How many tokens a model can take at once, and the error when a job has more."""

from persona_leakage.infrastructure.cli import InputError

WINDOW, POSITIONS = "window", "positions"


def limits_of(config):
    """{"window": width of sliding attention, "positions": trained positions} of a text model's config, in tokens; None: no limit."""
    kinds = getattr(config, "layer_types", None)
    windowed = getattr(config, "use_sliding_window", True) and (kinds is None or "sliding_attention" in kinds)
    positions = getattr(config, "max_position_embeddings", None)
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    if rope.get("rope_type") == "longrope":  # beyond these a sequence turns all its angles otherwise, and those of its batch
        positions = rope.get("original_max_position_embeddings") or getattr(config, "original_max_position_embeddings", positions)
    return {WINDOW: getattr(config, "sliding_window", None) if windowed else None, POSITIONS: positions}


def check_length(limits, longest, key, unit):
    """InputError, naming the config ``key`` to change, if a sequence of ``longest`` tokens (unit: what it is) exceeds limits_of a model.

    Beyond its window the model uses another attention than this workflow; beyond its positions it was never trained.
    """
    for name, most in limits.items():
        if most and longest > most:
            said = f"window of {most}" if name == WINDOW else f"{most} positions (max_position_embeddings)"
            raise InputError(f"{key}: {unit} of {longest} tokens exceed this model's {said}")
