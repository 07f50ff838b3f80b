"""Drawing the next token: each row has its own stream of uniforms, so its draws do not depend on its neighbours."""

import numpy as np
import torch

from persona_leakage.infrastructure.cli import InputError

FIRST_CUT = 256


def uniform_stream(seed, length):
    """``length`` uniforms in [0, 1) for one request, float32 [length], the same on every platform."""
    return torch.from_numpy(np.random.Generator(np.random.Philox(seed)).random(length, dtype=np.float32))


def draw_tokens(logits, uniforms, temperature, top_p):
    """Next token ids [rows] from ``logits`` [rows, vocabulary] and one uniform per row; temperature 0 takes the likeliest token.

    Otherwise by inverting the cumulative distribution over the smallest set of likeliest tokens whose probability reaches ``top_p``
    (nucleus sampling, Holtzman et al. 2020, arXiv:1904.09751). InputError if a row's logits are not finite.
    """
    if not logits.amax(-1).isfinite().all():
        raise InputError("model: logits are not finite (NaN or infinite); copy the model again, or set engine.precision: float32")
    if temperature == 0:
        return logits.argmax(-1)
    return draw_from_nucleus(logits.float() / temperature, uniforms, top_p, FIRST_CUT)


def draw_from_nucleus(logits, uniforms, top_p, cut):
    """Token ids [rows] as draw_tokens says, looking at the ``cut`` likeliest tokens first, and at more only for the rows that need it.

    Equally likely tokens may come in another order in a longer list, and a row must not depend on its neighbours.
    """
    cut = min(cut, logits.shape[-1])
    values, tokens = logits.topk(cut)
    cumulative = (values - torch.logsumexp(logits, -1, keepdim=True)).exp().cumsum(-1)
    # A token belongs to the nucleus if the mass before it is below top_p; the first always does.
    in_nucleus = torch.cat([torch.ones_like(cumulative[:, :1], dtype=torch.bool), cumulative[:, :-1] < top_p], -1)
    mass = cumulative.masked_fill(~in_nucleus, 0).amax(-1)
    picked = (cumulative <= (uniforms * mass)[:, None]).sum(-1).clamp(max=in_nucleus.sum(-1) - 1)
    drawn = tokens.gather(-1, picked[:, None])[:, 0]
    wider = cumulative[:, -1] < top_p
    if cut < logits.shape[-1] and bool(wider.any()):
        drawn[wider] = draw_from_nucleus(logits[wider], uniforms[wider], top_p, cut * 16)
    return drawn
