"""Hidden states at the last prompt token, for many prompts in one pass over the blocks that are needed."""

import torch

from persona_leakage.batching import length_mask, pad_right, split_by_tokens
from persona_leakage.layers import check_layers
from persona_leakage.progress import Progress


@torch.inference_mode()
def last_token_states(model, prompts, layers, batch_tokens=4096):
    """Outputs of the 0-based blocks ``layers`` at each prompt's last token: float32 [prompts, layers, hidden].

    Block L's output is hidden_states[L+1] in transformers' terms, taken before any final norm (which
    transformers applies to the very last entry of its list). The model is cut behind the last block
    needed, and no output layer runs. Prompts go sorted by length, padded on the right, at most
    ``batch_tokens`` padded tokens at a time. InputError if a layer is not a block of the model.
    """
    decoder = model.get_decoder()
    check_layers(layers, len(decoder.layers))
    decoder.layers = decoder.layers[: max(layers) + 1]
    device = next(model.parameters()).device
    states = torch.empty(len(prompts), len(layers), decoder.config.hidden_size)
    caught = {}

    def keep(layer):
        def hook(module, inputs, output):
            caught[layer] = output[0] if isinstance(output, tuple) else output

        return hook

    hooks = [decoder.layers[layer].register_forward_hook(keep(layer)) for layer in layers]
    lengths = [len(ids) for ids in prompts]
    progress = Progress("hidden states", len(prompts), "prompts")
    try:
        for batch in split_by_tokens(range(len(prompts)), lengths, batch_tokens):
            input_ids = pad_right([prompts[index] for index in batch])
            mask = length_mask([lengths[index] for index in batch])
            decoder(input_ids=input_ids.to(device), attention_mask=mask.to(device), use_cache=False)
            ends = mask.sum(-1) - 1
            for column, layer in enumerate(layers):
                states[batch, column] = caught[layer][torch.arange(len(batch)), ends].float().cpu()
            progress.advance(len(batch))
    finally:
        for hook in hooks:
            hook.remove()
    return states
