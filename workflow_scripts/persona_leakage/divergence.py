"""How differently would the base model speak as two personas? Jensen-Shannon divergence of its next tokens along given replies."""

import math
from dataclasses import dataclass

import torch

from persona_leakage.batching import pad_right, split_by_tokens
from persona_leakage.causal_attention import round_up, use_causal_attention
from persona_leakage.errors import InputError
from persona_leakage.files import digest_of, write_jsonl_gz
from persona_leakage.progress import Progress
from persona_leakage.restart_store import part_path, read_parts
from persona_leakage.sampling_run import SUFFIX, read_part

BATCH_TOKENS = 4096  # padded tokens in memory at once


@dataclass(frozen=True)
class Comparison:
    """A reply's first tokens behind the prompt of the persona that gave it, and behind that of another one."""

    own_prompt: tuple
    other_prompt: tuple
    reply: tuple


def jensen_shannon(first, second):
    """Jensen-Shannon divergence (Lin 1991) in bits: log-probabilities [..., vocabulary] -> [...], 0 (the same) to 1 (nothing in common)."""
    mixture = torch.logaddexp(first, second) - math.log(2)
    nats = ((first.exp() * (first - mixture)) + (second.exp() * (second - mixture))).sum(dim=-1) / 2
    return (nats / math.log(2)).clamp(0, 1)


@torch.inference_mode()
def next_token_logs(model, prompts, reply):
    """Yield (place, log-probabilities [len(reply) + 1, vocabulary]) of each prompt followed by ``reply``, in any order.

    Row t is the next token's distribution after t tokens of the reply. One pass per batch of BATCH_TOKENS; the output layer runs
    row by row. What stands beside a row does not change it (see causal_attention).
    """
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    device, size = next(model.parameters()).device, len(reply) + 1
    rows = [[*prompt, *reply] for prompt in prompts]
    window = getattr(decoder.config, "sliding_window", None)
    if window and max(map(len, rows)) > window:
        raise InputError(f"personas: a prompt with a reply of {max(map(len, rows))} tokens exceeds this model's window of {window}")
    padded = [round_up(len(row)) for row in rows]
    mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)  # padding stands on the right, where causal attention never looks
    for batch in split_by_tokens(range(len(rows)), padded, BATCH_TOKENS):
        ids = pad_right([rows[place] for place in batch], length=padded[batch[0]]).to(device)
        hidden = decoder(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        for row, place in enumerate(batch):
            end = len(rows[place])
            yield place, torch.log_softmax(head(hidden[row, end - size : end]).float(), dim=-1)


def compare_along(model, own_prompt, others, reply):
    """[sum over the positions of jensen_shannon] of each prompt of ``others`` against ``own_prompt``, along a reply."""
    ((_, own),) = next_token_logs(model, [own_prompt], reply)
    sums = [0.0] * len(others)
    for place, other in next_token_logs(model, others, reply):
        sums[place] = float(jensen_shannon(own, other).sum())
    return sums


def measure_all(load, comparisons, identity, restart_folder, chunk_size):
    """[sum of jensen_shannon over the len(reply) + 1 positions] of each Comparison.

    load(): the model; called once, if one is missing. Comparisons along the same reply behind the same prompt share the pass
    for that prompt. About ``chunk_size`` are kept at a time in ``restart_folder``, under digests of their token
    ids and ``identity`` (model, precision, versions, code).
    """
    shared = digest_of(identity)
    keys = {item: digest_of([shared, item.own_prompt, item.other_prompt, item.reply]) for item in comparisons}
    kept = read_parts(restart_folder, SUFFIX, read_part, set(keys.values()))
    groups = {}
    for item, key in keys.items():
        if key not in kept:
            groups.setdefault((item.own_prompt, item.reply), []).append(item)
    if kept:
        print(f"divergence: {len(kept)} of {len(keys)} comparisons are kept from earlier", flush=True)
    progress = Progress("divergence", len(keys), "comparisons")
    progress.skip(len(kept))
    model, part = None, {}
    for number, ((own_prompt, reply), items) in enumerate(groups.items(), 1):
        if model is None:
            model = load()
            use_causal_attention(model)
        sums = compare_along(model, own_prompt, [item.other_prompt for item in items], reply)
        part |= zip((keys[item] for item in items), sums, strict=True)
        progress.advance(len(items))
        if len(part) >= chunk_size or number == len(groups):
            write_jsonl_gz(part_path(restart_folder, part, SUFFIX), map(list, sorted(part.items())))
            kept |= part
            part = {}
    return [kept[keys[item]] for item in comparisons]
