"""Which blocks of a model are asked for."""

from persona_leakage.errors import InputError


def check_layers(layers, blocks):
    """InputError if one of ``layers`` is not a 0-based block of a model with ``blocks`` blocks."""
    for layer in layers:
        if not 0 <= layer < blocks:
            raise InputError(f"geometry.layers: {layer} is not a block of this model, which has blocks 0 to {blocks - 1}")
