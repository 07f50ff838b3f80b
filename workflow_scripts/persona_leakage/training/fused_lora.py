"""The forward pass of a LoRA layer in training, with as few passes over memory as it takes."""

from contextlib import contextmanager
from functools import partial

from peft.tuners.lora import Linear
from torch.nn import functional


@contextmanager
def lean_lora(model):
    """The adapted layers of a peft ``model`` compute with lean_forward as long as the context lasts.

    peft's own forward casts the input to the adapter's float32, and scales and adds the adapter's output in passes of their own:
    on a GPU, where such passes wait for memory, that costs a sixth of a training step (docs/performance.md).
    """
    layers = [module for module in model.modules() if isinstance(module, Linear)]
    for layer in layers:
        layer.forward = partial(lean_forward, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def lean_forward(layer, x):
    """W x + s B A dropout(x) of a peft LoRA ``layer`` with one active adapter, equal to peft's up to rounding.

    Under autocast dropout may draw other masks, for it sees another number format.
    x: [..., features in], in the format that the base layer takes; under autocast A is cast to it. The scaling s goes
    into the small matrix B, and the product is added where the base layer has written its output.
    """
    (name,) = layer.active_adapters
    flat = x.flatten(0, -2)
    output = layer.base_layer(flat)
    hidden = functional.linear(layer.lora_dropout[name](flat), layer.lora_A[name].weight).to(output.dtype)
    up = (layer.scaling[name] * layer.lora_B[name].weight).to(output.dtype)
    return output.addmm_(hidden, up.T).unflatten(0, x.shape[:-1])
