"""Hidden states at the last prompt token, for many prompts in one pass over the blocks that are needed."""

import torch

from persona_leakage.model_checks import check_layers
from persona_leakage.prefill import prefill


@torch.inference_mode()
def last_token_states(model, prompts, layers, batch_tokens=4096):
    """Outputs of the 0-based blocks ``layers`` at each prompt's last token: float32 [prompts, layers, hidden].

    Block L's output is hidden_states[L+1] in transformers' terms, taken before any final norm (which
    transformers applies to the very last entry of its list). The model is cut behind the last block
    needed, and no output layer runs. Prompts go through in batches, on which their states do not depend
    (see prefill). InputError if a layer is not a block of the model or a prompt exceeds its window.
    """
    decoder = model.get_decoder()
    check_layers(layers, len(decoder.layers))
    decoder.layers = decoder.layers[: max(layers) + 1]
    states = torch.empty(len(prompts), len(layers), decoder.config.hidden_size)
    caught = {}

    def keep(layer):
        def hook(module, inputs, output):
            caught[layer] = output[0] if isinstance(output, tuple) else output

        return hook

    hooks = [decoder.layers[layer].register_forward_hook(keep(layer)) for layer in layers]
    try:
        for batch, _ in prefill(model, prompts, batch_tokens, "hidden states", "prompts"):
            ends = torch.tensor([len(prompts[index]) - 1 for index in batch])
            for column, layer in enumerate(layers):
                states[batch, column] = caught[layer][torch.arange(len(batch)), ends].float().cpu()
    finally:
        for hook in hooks:
            hook.remove()
    return states
