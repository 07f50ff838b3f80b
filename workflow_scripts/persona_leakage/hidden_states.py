"""Hidden states at the last prompt token, for many prompts in one pass over the blocks that are needed."""

import torch

from persona_leakage.batching import pad_right, split_by_tokens
from persona_leakage.causal_attention import NAME, round_up
from persona_leakage.errors import InputError
from persona_leakage.model_checks import check_layers
from persona_leakage.progress import Progress


@torch.inference_mode()
def last_token_states(model, prompts, layers, batch_tokens=4096):
    """Outputs of the 0-based blocks ``layers`` at each prompt's last token: float32 [prompts, layers, hidden].

    Block L's output is hidden_states[L+1] in transformers' terms, taken before any final norm (which
    transformers applies to the very last entry of its list). The model is cut behind the last block
    needed, and no output layer runs. Prompts go sorted by length, padded on the right, at most
    ``batch_tokens`` padded tokens at a time; what stands beside a prompt does not change its states
    (see causal_attention). InputError if a layer is not a block of the model or a prompt exceeds its window.
    """
    decoder = model.get_decoder()
    check_layers(layers, len(decoder.layers))
    decoder.layers = decoder.layers[: max(layers) + 1]
    window = getattr(decoder.config, "sliding_window", None)
    lengths = [len(ids) for ids in prompts]
    if window and max(lengths) > window:
        raise InputError(f"personas: a prompt of {max(lengths)} tokens exceeds this model's window of {window}")
    model.set_attn_implementation(NAME)
    device = next(model.parameters()).device
    states = torch.empty(len(prompts), len(layers), decoder.config.hidden_size)
    caught = {}

    def keep(layer):
        def hook(module, inputs, output):
            caught[layer] = output[0] if isinstance(output, tuple) else output

        return hook

    hooks = [decoder.layers[layer].register_forward_hook(keep(layer)) for layer in layers]
    padded_lengths = [round_up(length) for length in lengths]
    # Padding stands on the right, where causal attention never looks; the mask only has to be a ready-made 4D one.
    mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)
    progress = Progress("hidden states", len(prompts), "prompts")
    try:
        for batch in split_by_tokens(range(len(prompts)), padded_lengths, batch_tokens):
            input_ids = pad_right([prompts[index] for index in batch], length=padded_lengths[batch[0]])
            decoder(input_ids=input_ids.to(device), attention_mask=mask, use_cache=False)
            ends = torch.tensor([lengths[index] - 1 for index in batch])
            for column, layer in enumerate(layers):
                states[batch, column] = caught[layer][torch.arange(len(batch)), ends].float().cpu()
            progress.advance(len(batch))
    finally:
        for hook in hooks:
            hook.remove()
    return states
