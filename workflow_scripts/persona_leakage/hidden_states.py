"""Hidden states at chosen tokens of many prompts, in one pass over the blocks that are needed."""

from contextlib import contextmanager

import torch

from persona_leakage.causal_attention import output_logits, use_causal_attention
from persona_leakage.errors import InputError
from persona_leakage.layers import check_layers
from persona_leakage.model_parts import blocks_name
from persona_leakage.positions import FIRST_REPLY, LAST_PROMPT, MEAN_SYSTEM
from persona_leakage.prefill import Stage, prefill

BATCH_TOKENS = 4096  # padded tokens in memory at once
STAGE = Stage("hidden states", "prompts", "set geometry.precision: bfloat16", "questions.file")


def last_token_states(model, prompts, layers, batch_tokens=BATCH_TOKENS):
    """(states, memory): as span_states at each prompt's last token, float32 [prompts, layers, hidden]."""
    states, memory = span_states(model, prompts, [[(len(ids) - 1, len(ids))] for ids in prompts], layers, batch_tokens)
    return states[:, 0], memory


def position_states(model, prompts, layers, batch_tokens, positions):
    """(states, memory): as span_states at each of ``positions``, float32 [prompts, positions, layers, hidden].

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
        sequences = [[*ids, token] for ids, token in zip(sequences, first_tokens(model, sequences, batch_tokens), strict=True)]
    spans = list(zip(*(where[position] for position in positions), strict=True))
    return span_states(model, sequences, spans, layers, batch_tokens)


def persona_means(model, personas, layers, batch_tokens, positions):
    """(means over each persona's prompts of position_states(), memory): float32 [personas, positions, layers, hidden].

    personas: for each as many prompts as for the others.
    """
    states, memory = position_states(model, [prompt for prompts in personas for prompt in prompts], layers, batch_tokens, positions)
    return states.unflatten(0, (len(personas), -1)).double().mean(dim=1).float(), memory


@torch.inference_mode()
def span_states(model, sequences, spans, layers, batch_tokens=BATCH_TOKENS):
    """(states, memory): outputs of the 0-based blocks ``layers``, averaged over tokens, float32 [sequences, spans of each, layers, hidden].

    sequences: lists of token ids; spans: for each as many (first, end) as for the others, the tokens from first to before end.
    Block L's output is hidden_states[L+1] in transformers' terms, taken before any final norm (which
    transformers applies to the very last entry of its list). Blocks behind the last one needed do not run, nor
    does the output layer. Sequences go through in batches, on which their states do not depend; memory: how often a
    batch did not fit, and the limit at the end (see prefill).
    InputError if a layer is not a block of the model, or a sequence exceeds its window or does not fit by itself.
    """
    decoder = model.get_decoder()
    check_layers(layers, len(getattr(decoder, blocks_name(decoder))))
    use_causal_attention(model)  # before the hooks, which would see its probe
    states = torch.empty(len(sequences), len(spans[0]), len(layers), decoder.config.hidden_size)
    wanted = []
    with blocks_up_to(decoder, max(layers)) as blocks, span_means(blocks, layers, wanted) as caught:

        def take(batch, forward):
            wanted[:] = [spans[index] for index in batch]
            forward()
            states[batch] = torch.stack([caught[layer] for layer in layers], 2)

        memory = prefill(model, sequences, take, batch_tokens, STAGE)
    if not states.isfinite().all():
        raise InputError("model: hidden states are no numbers for some prompts; copy the model again, or set geometry.precision: float32")
    return states, memory


@torch.inference_mode()
def first_tokens(model, prompts, batch_tokens=BATCH_TOKENS):
    """The likeliest token behind each prompt, by ``model``: a list of token ids."""
    found = [None] * len(prompts)

    def take(batch, forward):
        hidden = forward()
        ends = torch.tensor([len(prompts[index]) - 1 for index in batch], device=hidden.device)
        logits = output_logits(model.get_output_embeddings(), hidden[torch.arange(len(batch), device=hidden.device), ends])
        for index, token in zip(batch, logits.argmax(-1).tolist(), strict=True):
            found[index] = token

    prefill(model, prompts, take, batch_tokens, STAGE)
    return found


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
def span_means(blocks, layers, wanted):
    """{layer: means over spans of that block's output in the newest forward pass, float32 [rows, spans, hidden]}, while the context lasts.

    wanted: the spans [(first, end)] of each row of that pass, set before it. Whole outputs are not kept.
    """
    caught = {}

    def keep(layer):
        def hook(module, inputs, output):
            hidden = output[0] if isinstance(output, tuple) else output
            means = [torch.stack([hidden[row, first:end].float().mean(0) for first, end in spans]) for row, spans in enumerate(wanted)]
            caught[layer] = torch.stack(means).cpu()

        return hook

    hooks = [blocks[layer].register_forward_hook(keep(layer)) for layer in layers]
    try:
        yield caught
    finally:
        for hook in hooks:
            hook.remove()
