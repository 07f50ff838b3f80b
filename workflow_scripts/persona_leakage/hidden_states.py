"""Hidden states at the last prompt token, for many prompts in one pass over the blocks that are needed."""

from functools import partial

import torch

from persona_leakage.batching import pad_right, split_by_tokens
from persona_leakage.causal_attention import NAME, round_up
from persona_leakage.errors import InputError
from persona_leakage.layers import check_layers
from persona_leakage.out_of_memory import fits, half_of
from persona_leakage.progress import Progress


@torch.inference_mode()
def last_token_states(model, prompts, layers, batch_tokens=4096):
    """(states, memory): outputs of the 0-based blocks ``layers`` at each prompt's last token, float32 [prompts, layers, hidden].

    Block L's output is hidden_states[L+1] in transformers' terms, taken before any final norm (which
    transformers applies to the very last entry of its list). The model is cut behind the last block
    needed, and no output layer runs. Prompts go sorted by length, padded on the right, at most
    ``batch_tokens`` padded tokens at a time; what stands beside a prompt does not change its states
    (see causal_attention). A batch that does not fit into memory is split, and with it all behind it.
    memory: {"times", "batch_tokens"}, how often that was and the limit at the end.
    InputError if a layer is not a block of the model, or a prompt exceeds its window or does not fit by itself.
    """
    decoder = model.get_decoder()
    check_layers(layers, len(decoder.layers))
    decoder.layers = decoder.layers[: max(layers) + 1]
    longest = max(len(ids) for ids in prompts)
    window = getattr(decoder.config, "sliding_window", None)
    if window and longest > window:
        raise InputError(f"personas: a prompt of {longest} tokens exceeds this model's window of {window}")
    model.set_attn_implementation(NAME)
    states = torch.empty(len(prompts), len(layers), decoder.config.hidden_size)
    lengths = [round_up(len(ids)) for ids in prompts]
    memory = {"times": 0, "batch_tokens": batch_tokens}
    progress = Progress("hidden states", len(prompts), "prompts")
    batches = split_by_tokens(range(len(prompts)), lengths, batch_tokens)
    while batches:
        batch = batches[0]
        found, said = fits(partial(states_of_batch, decoder, [prompts[index] for index in batch], layers))
        if said is None:
            states[batch] = found
            progress.advance(len(batch))
            batches.pop(0)
        else:
            advice = "set geometry.precision: bfloat16"
            memory["batch_tokens"] = half_of(len(batch), len(batch) * lengths[batch[0]], "hidden states", said, advice)
            memory["times"] += 1
            batches = split_by_tokens([index for batch in batches for index in batch], lengths, memory["batch_tokens"])
    return states, memory


def states_of_batch(decoder, prompts, layers):
    """Outputs of the blocks ``layers`` at the last tokens of some prompts in one forward pass, float32 [prompts, layers, hidden]."""
    caught = {}

    def keep(layer):
        def hook(module, inputs, output):
            hidden = output[0] if isinstance(output, tuple) else output
            caught[layer] = hidden[torch.arange(len(prompts), device=device), ends].float().cpu()

        return hook

    device = next(decoder.parameters()).device
    ends = torch.tensor([len(ids) - 1 for ids in prompts], device=device)
    hooks = [decoder.layers[layer].register_forward_hook(keep(layer)) for layer in layers]
    # Padding stands on the right, where causal attention never looks; the mask only has to be a ready-made 4D one.
    mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)
    try:
        decoder(input_ids=pad_right(prompts, length=round_up(int(ends.max()) + 1)).to(device), attention_mask=mask, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack([caught[layer] for layer in layers], 1)
