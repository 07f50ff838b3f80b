"""Hidden states at chosen tokens of many prompts, in one pass over the blocks that are needed."""

from contextlib import contextmanager

import torch

from persona_leakage.batching import pad_right, split_by_tokens
from persona_leakage.causal_attention import NAME, output_logits, round_up
from persona_leakage.errors import InputError
from persona_leakage.model_checks import check_layers
from persona_leakage.model_parts import blocks_name
from persona_leakage.positions import FIRST_REPLY, LAST_PROMPT, MEAN_SYSTEM
from persona_leakage.progress import Progress


def last_token_states(model, prompts, layers, batch_tokens=4096):
    """Outputs of the 0-based blocks ``layers`` at each prompt's last token: float32 [prompts, layers, hidden]. As span_states."""
    return span_states(model, prompts, [[(len(ids) - 1, len(ids))] for ids in prompts], layers, batch_tokens)[:, 0]


def position_states(model, prompts, layers, positions):
    """Outputs of the 0-based blocks ``layers`` at each of ``positions``: float32 [prompts, positions, layers, hidden].

    prompts: [(token ids, first, end)], the persona's own words being the tokens from ``first`` to before ``end``.
    first_reply_token: the token that the model itself finds likeliest behind the prompt, an end of turn included.
    InputError as span_states, and for mean_system_turn if a prompt has no such words.
    """
    sequences = [list(ids) for ids, _, _ in prompts]
    if MEAN_SYSTEM in positions and any(first == end for _, first, end in prompts):
        raise InputError(f"geometry.positions: {MEAN_SYSTEM} needs a system text in every prompt")
    where = {
        LAST_PROMPT: [(len(ids) - 1, len(ids)) for ids in sequences],
        MEAN_SYSTEM: [(first, end) for _, first, end in prompts],
        FIRST_REPLY: [(len(ids), len(ids) + 1) for ids in sequences],
    }
    if FIRST_REPLY in positions:
        sequences = [[*ids, token] for ids, token in zip(sequences, first_tokens(model, sequences), strict=True)]
    spans = list(zip(*(where[position] for position in positions), strict=True))
    return span_states(model, sequences, spans, layers)


def persona_means(model, personas, layers, positions):
    """Means over each persona's prompts of position_states(): float32 [personas, positions, layers, hidden].

    personas: for each as many prompts as for the others.
    """
    states = position_states(model, [prompt for prompts in personas for prompt in prompts], layers, positions)
    return states.unflatten(0, (len(personas), -1)).double().mean(dim=1).float()


def span_states(model, sequences, spans, layers, batch_tokens=4096):
    """Outputs of the 0-based blocks ``layers``, averaged over tokens: float32 [sequences, spans of each, layers, hidden].

    sequences: lists of token ids; spans: for each as many (first, end) as for the others, the tokens from first to before end.
    Block L's output is hidden_states[L+1] in transformers' terms, taken before any final norm (which
    transformers applies to the very last entry of its list). Blocks behind the last one needed
    do not run, nor does the output layer. InputError if a layer is not a block of the model.
    """
    decoder = model.get_decoder()
    check_layers(layers, len(getattr(decoder, blocks_name(decoder))))
    states = torch.empty(len(sequences), len(spans[0]), len(layers), decoder.config.hidden_size)
    progress = Progress("hidden states", len(sequences), "prompts")
    with blocks_up_to(decoder, max(layers)) as blocks, outputs_of(blocks, layers) as caught:
        for batch, _ in forward_batches(model, sequences, batch_tokens):
            for row, index in enumerate(batch):
                for place, (first, end) in enumerate(spans[index]):
                    states[index, place] = torch.stack([caught[layer][row, first:end].float().mean(0) for layer in layers]).cpu()
            progress.advance(len(batch))
    return states


@torch.inference_mode()
def first_tokens(model, prompts, batch_tokens=4096):
    """The likeliest token behind each prompt, by ``model``: a list of token ids."""
    found = [None] * len(prompts)
    for batch, hidden in forward_batches(model, prompts, batch_tokens):
        ends = torch.tensor([len(prompts[index]) - 1 for index in batch], device=hidden.device)
        logits = output_logits(model.get_output_embeddings(), hidden[torch.arange(len(batch), device=hidden.device), ends])
        for index, token in zip(batch, logits.argmax(-1).tolist(), strict=True):
            found[index] = token
    return found


@torch.inference_mode()
def forward_batches(model, sequences, batch_tokens):
    """Run the decoder over ``sequences``; yields (indices of a batch, last hidden states [batch, padded length, hidden]).

    Sequences go sorted by length, padded on the right, at most ``batch_tokens`` padded tokens at a time; what stands
    beside one does not change its states (see causal_attention). InputError if one exceeds the model's window.
    """
    decoder = model.get_decoder()
    window = getattr(decoder.config, "sliding_window", None)
    lengths = [len(ids) for ids in sequences]
    if window and max(lengths) > window:
        raise InputError(f"personas: a prompt of {max(lengths)} tokens exceeds this model's window of {window}")
    model.set_attn_implementation(NAME)
    device = next(model.parameters()).device
    padded_lengths = [round_up(length) for length in lengths]
    # Padding stands on the right, where causal attention never looks; the mask only has to be a ready-made 4D one.
    mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)
    for batch in split_by_tokens(range(len(sequences)), padded_lengths, batch_tokens):
        input_ids = pad_right([sequences[index] for index in batch], length=padded_lengths[batch[0]])
        yield batch, decoder(input_ids=input_ids.to(device), attention_mask=mask, use_cache=False).last_hidden_state


@contextmanager
def blocks_up_to(decoder, last):
    """A decoder without the blocks behind ``last``, as long as the context lasts; gives the blocks."""
    name = blocks_name(decoder)
    whole = getattr(decoder, name)
    setattr(decoder, name, whole[: last + 1])
    try:
        yield whole
    finally:
        setattr(decoder, name, whole)


@contextmanager
def outputs_of(blocks, layers):
    """{layer: output of that block in the newest forward pass}, filled as long as the context lasts."""
    caught = {}

    def keep(layer):
        def hook(module, inputs, output):
            caught[layer] = output[0] if isinstance(output, tuple) else output

        return hook

    hooks = [blocks[layer].register_forward_hook(keep(layer)) for layer in layers]
    try:
        yield caught
    finally:
        for hook in hooks:
            hook.remove()
