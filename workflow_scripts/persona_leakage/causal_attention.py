"""Attention for prompts padded on the right and for cached rows of unequal length, the same whatever stands beside a row.

On a CPU with one thread, a row's hidden states come out bit for bit alike in any batch if two things hold,
which the callers see to: lengths are rounded up with ``round_up`` (kernels add in vectors of up to 16 numbers,
and an incomplete vector is added otherwise), and a matrix product has MIN_ROWS rows or more (below that
float32 takes another kernel). That is what lets finished work be kept row by row. On a GPU it holds up to rounding.
"""

import torch
from torch.nn import functional
from transformers import AttentionInterface

NAME = "grouped_causal"
LENGTH_STEP = 16
MIN_ROWS = 4


def round_up(length):
    """The next multiple of LENGTH_STEP."""
    return -(-length // LENGTH_STEP) * LENGTH_STEP


def grouped_causal_attention(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    """Attention without copying keys for the query heads that share them (grouped-query attention).

    query [rows, heads, length, width], key and value [rows, kv_heads, keys, width]; returns
    [rows, length, heads, width]. With one query token the heads of a group act as its query
    positions, so the cache is read once, and ``attention_mask`` hides what lies beyond a row's
    length. Longer queries (prompts) are causal within themselves: padding stands on their right,
    where no token of the prompt looks, so the mask is not needed.
    """
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


def output_logits(head, hidden):
    """Output layer ``head`` on ``hidden`` [rows, hidden], as part of at least MIN_ROWS rows: [rows, vocabulary]."""
    rows = len(hidden)
    if rows < MIN_ROWS:
        hidden = hidden[torch.arange(MIN_ROWS, device=hidden.device) % rows]
    return head(hidden)[:rows]


AttentionInterface.register(NAME, grouped_causal_attention)
