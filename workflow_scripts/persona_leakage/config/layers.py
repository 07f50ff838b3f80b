"""Where in a conversation hidden states are taken. Imports nothing heavy: the config is checked against these names."""

from persona_leakage.infrastructure.cli import InputError

LAST_PROMPT, MEAN_SYSTEM, FIRST_REPLY = "last_prompt_token", "mean_system_turn", "first_reply_token"
POSITIONS = (LAST_PROMPT, MEAN_SYSTEM, FIRST_REPLY)


def is_swept(geometry):
    """Whether a config's geometry block asks for more than the headline position at chosen layers."""
    return geometry["layers"] == "all" or len(geometry["positions"]) > 1


def declared_layers(geometry):
    """The layers of the main analysis: those listed, or the headline layer alone if all are swept."""
    return [geometry["headline_layer"]] if geometry["layers"] == "all" else geometry["layers"]


def check_layers(layers, blocks):
    """InputError if one of ``layers`` is not a 0-based block of a model with ``blocks`` blocks."""
    for layer in layers:
        if not 0 <= layer < blocks:
            raise InputError(f"geometry.layers: {layer} is not a block of this model, which has blocks 0 to {blocks - 1}")
