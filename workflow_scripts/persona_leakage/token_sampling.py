"""Drawing the next token: each row has its own stream of uniforms, so its draws do not depend on its neighbours."""

import numpy as np
import torch

FIRST_CUT = 256


def uniform_stream(seed, length):
    """``length`` uniforms in [0, 1) for one request, float32 [length], the same on every platform."""
    return torch.from_numpy(np.random.Generator(np.random.Philox(seed)).random(length, dtype=np.float32))


def draw_tokens(logits, uniforms, temperature, top_p):
    """Next token ids [rows] from ``logits`` [rows, vocabulary] and one uniform per row.

    temperature 0 takes the most likely token. Otherwise tokens are drawn by inverting the
    cumulative distribution, sorted by probability, over the smallest set whose probability reaches
    ``top_p`` (nucleus sampling, Holtzman et al. 2020, arXiv:1904.09751).
    """
    if temperature == 0:
        return logits.argmax(-1)
    logits = logits.float() / temperature
    total = torch.logsumexp(logits, -1, keepdim=True)
    vocabulary = logits.shape[-1]
    size = min(FIRST_CUT, vocabulary)
    while True:
        values, tokens = logits.topk(size)
        cumulative = (values - total).exp().cumsum(-1)
        if size == vocabulary or bool((cumulative[:, -1] >= top_p).all()):
            break
        size = min(size * 16, vocabulary)
    # A token belongs to the nucleus if the mass before it is below top_p; the first always does.
    in_nucleus = torch.cat([torch.ones_like(cumulative[:, :1], dtype=torch.bool), cumulative[:, :-1] < top_p], -1)
    mass = cumulative.masked_fill(~in_nucleus, 0).amax(-1)
    picked = (cumulative <= (uniforms * mass)[:, None]).sum(-1).clamp(max=in_nucleus.sum(-1) - 1)
    return tokens.gather(-1, picked[:, None])[:, 0]
