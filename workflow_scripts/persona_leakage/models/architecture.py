"""The parts of a transformers model by their role, whatever its architecture calls them."""

from torch import nn

from persona_leakage.infrastructure.cli import InputError


def blocks_name(decoder):
    """The attribute under which a decoder holds the list of its blocks; InputError if it is not plain which."""
    count = decoder.config.get_text_config().num_hidden_layers
    found = [name for name, part in decoder.named_children() if isinstance(part, nn.ModuleList) and len(part) == count]
    if len(found) != 1:
        raise InputError(f"model: {type(decoder).__name__} has {len(found)} lists of {count} blocks; exactly one is needed")
    return found[0]


def linear_layers(model):
    """Paths within ``model`` of the linear layers of its text decoder's blocks, in their order there; not of a vision tower.

    InputError if a block has weight matrices outside linear layers (the stacked experts of a mixture of experts, GPT-2's Conv1D):
    adapting the rest would not be the same method.
    """
    decoder = model.get_decoder()
    blocks = getattr(decoder, blocks_name(decoder))
    linear = [name for name, part in blocks.named_modules() if isinstance(part, nn.Linear)]
    matrices = [name for name, weights in blocks.named_parameters() if weights.ndim > 1]
    others = list(dict.fromkeys(name.partition(".")[2] for name in matrices if name.rpartition(".")[0] not in linear))
    if others or not linear:
        raise InputError(
            f"model: the blocks of {type(model).__name__} have weights outside linear layers ({', '.join(others) or 'all of them'});"
            " mixtures of experts and models like GPT-2 are not supported"
        )
    (path,) = [path for path, part in model.named_modules() if part is blocks]
    return [f"{path}.{name}" for name in linear]
