"""Attention for prompts padded on the right and for cached rows of unequal length, in which a row does not depend on the others.

On a CPU with one thread, a row's hidden states are bit for bit alike in any batch if lengths are rounded up with ``round_up``
(kernels add in vectors of up to 16 numbers, and an incomplete vector otherwise) and a matrix product has MIN_ROWS rows or more
(below that float32 takes another kernel). So finished work can be kept row by row. On a GPU it holds up to rounding.
"""

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AttentionInterface

from persona_leakage.infrastructure.cli import InputError

NAME = "grouped_causal"
LENGTH_STEP = 16
MIN_ROWS = 4
PROBE_TOKENS = 24
TOLERANCE = {
    torch.float64: 1e-6,
    torch.float32: 1e-3,
    torch.float16: 0.03,
    torch.bfloat16: 0.06,
}  # of the largest value: rounding in another order


def round_up(length):
    """The next multiple of LENGTH_STEP."""
    return -(-length // LENGTH_STEP) * LENGTH_STEP


def grouped_causal_attention(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    """Attention without copying keys for the query heads that share them (grouped-query attention).

    query [rows, heads, length, width], key and value [rows, kv_heads, keys, width]; returns [rows, length, heads, width]. With one
    query token the heads of a group act as its query positions, so the cache is read once, and ``attention_mask`` hides what is
    beyond a row's length. Longer queries (prompts, padded on the right) are causal within themselves and need no mask.
    InputError for attention of other kinds (sinks, capped scores).
    """
    if any(kwargs.get(name) is not None for name in ("s_aux", "softcap")):
        raise InputError(f"model: {type(module).__name__} has attention sinks or caps its scores, which is not supported")
    rows, heads, length, width = query.shape
    if length == 1:
        grouped = query.reshape(rows, key.shape[1], heads // key.shape[1], width)
        mixed = functional.scaled_dot_product_attention(grouped, key, value, attn_mask=attention_mask, scale=scaling)
        mixed = mixed.reshape(rows, heads, 1, width)
    else:
        repeats = heads // key.shape[1]
        key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling)
    return mixed.transpose(1, 2).contiguous(), None


def kernels_for_any_shape():
    """A context without cuDNN's attention, torch's first choice on new GPUs: it is slow for each new shape (docs/performance.md)."""
    return sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])


def probe_states(model):
    """Last hidden states [1, PROBE_TOKENS, hidden] of a made-up prompt, with the attention that the model has at the moment."""
    ids = torch.arange(1, PROBE_TOKENS + 1, device=next(model.parameters()).device)[None] % model.config.get_text_config().vocab_size
    mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=ids.device) if model.config._attn_implementation == NAME else None
    with torch.inference_mode():
        return model.get_decoder()(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state


def use_causal_attention(model):
    """Give ``model`` this attention; InputError unless its hidden states stay what its own attention makes them, up to rounding."""
    if model.config._attn_implementation == NAME:
        return
    own = probe_states(model)
    try:
        model.set_attn_implementation(NAME)
        found = probe_states(model)
    # Whatever a foreign architecture's code raises when it meets an attention that it was not written for.
    except (AttributeError, IndexError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        kind = model.config.get_text_config().model_type
        raise InputError(f"model: architecture '{kind}' does not take the workflow's attention ({' '.join(str(error).split())})") from error
    check_alike(model, found, own, "with attention that reads prompts padded on the right")


def check_alike(model, found, own, what):
    """InputError unless ``found`` is ``own`` up to rounding, both tensors of one shape."""
    difference = float((found.float() - own.float()).abs().max() / own.float().abs().max())
    if not difference <= TOLERANCE[own.dtype]:
        raise InputError(
            f"model: architecture '{model.config.get_text_config().model_type}' computes something else {what}"
            f" ({difference:.2g} of the largest value; allowed: {TOLERANCE[own.dtype]}); it is not supported"
        )


def output_logits(head, hidden):
    """Output layer ``head`` on ``hidden`` [rows, hidden], in a batch of at least MIN_ROWS rows: [rows, vocabulary]."""
    rows = len(hidden)
    if rows < MIN_ROWS:
        hidden = hidden[torch.arange(MIN_ROWS, device=hidden.device) % rows]
    return head(hidden)[:rows]


AttentionInterface.register(NAME, grouped_causal_attention)
