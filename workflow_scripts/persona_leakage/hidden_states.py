"""Hidden states at the last prompt token, for many prompts in one pass over the blocks that are needed."""

import torch

from persona_leakage.layers import check_layers
from persona_leakage.prefill import prefill


@torch.inference_mode()
def last_token_states(model, prompts, layers, batch_tokens=4096):
    """(states, memory): outputs of the 0-based blocks ``layers`` at each prompt's last token, float32 [prompts, layers, hidden].

    Block L's output is hidden_states[L+1] in transformers' terms, taken before any final norm (which
    transformers applies to the very last entry of its list). The model is cut behind the last block
    needed, and no output layer runs. Prompts go through in batches, on which their states do not depend;
    memory: how often a batch did not fit, and the limit at the end (see prefill).
    InputError if a layer is not a block of the model, or a prompt exceeds its window or does not fit by itself.
    """
    decoder = model.get_decoder()
    check_layers(layers, len(decoder.layers))
    decoder.layers = decoder.layers[: max(layers) + 1]
    states = torch.empty(len(prompts), len(layers), decoder.config.hidden_size)
    caught, ends = {}, []

    def keep(layer):
        def hook(module, inputs, output):
            hidden = output[0] if isinstance(output, tuple) else output
            caught[layer] = hidden[torch.arange(len(ends), device=hidden.device), torch.tensor(ends, device=hidden.device)].float().cpu()

        return hook

    def take(batch, forward):
        ends[:] = [len(prompts[index]) - 1 for index in batch]
        forward()
        states[batch] = torch.stack([caught[layer] for layer in layers], 1)

    hooks = [decoder.layers[layer].register_forward_hook(keep(layer)) for layer in layers]
    try:
        memory = prefill(model, prompts, take, batch_tokens, "hidden states", "prompts", "set geometry.precision: bfloat16")
    finally:
        for hook in hooks:
            hook.remove()
    return states, memory
