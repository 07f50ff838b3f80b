"""How likely a model finds given replies to given prompts: each prompt is read once, and its replies follow from the cache."""

import math

import torch

from persona_leakage.inference.batched_forward import Stage, in_batches, in_chunks
from persona_leakage.inference.kv_cache import SlotCache, read_next_tokens, read_prompts
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import digest_of
from persona_leakage.infrastructure.resume import compute_missing
from persona_leakage.models.attention import MIN_ROWS, output_logits, round_up, use_causal_attention
from persona_leakage.models.batching import pad_right
from persona_leakage.models.limits import check_length, limits_of

SLOT_TOKENS = 16384  # padded tokens of all slots in memory at once, unless they do not fit
STAGE = Stage("option probabilities", "prompts", "set geometry.precision: bfloat16", "behaviour.items")


@torch.inference_mode()
def reply_log_probabilities(model, queries, batch_tokens=SLOT_TOKENS):
    """([[natural log of the probability of each reply] of each of ``queries``], memory); a query is (prompt ids, replies as token ids).

    A reply's probability is the product over its tokens, so it covers the end of the turn only if the end token is one of them. Other
    queries in a batch do not change the numbers. InputError if a number is not finite; memory: see batched_forward.prefill.
    """
    decoder = model.get_decoder()
    spans = [len(prompt) + max(map(len, replies)) for prompt, replies in queries]
    check_length(limits_of(decoder.config), max(spans), STAGE.length_key, "prompt and answer")
    use_causal_attention(model)
    logs = [None] * len(queries)

    def work(batch):
        for index, values in zip(batch, read_replies(model, [queries[index] for index in batch]), strict=True):
            logs[index] = values

    lengths = [round_up(span) * len(replies) for span, (_, replies) in zip(spans, queries, strict=True)]
    memory = in_batches(lengths, work, batch_tokens, STAGE)
    if not all(math.isfinite(value) for values in logs for value in values):
        raise InputError("model: gives log-probabilities that are not finite; use geometry.precision: float32, or train with a lower rate")
    return logs, memory


def read_replies(model, queries):
    """As reply_log_probabilities, for one batch. Each reply has a slot, longest replies first, so unfinished ones stay at the front."""
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    device = next(model.parameters()).device
    slots = [(row, place) for row, (_, replies) in enumerate(queries) for place in range(len(replies))]
    slots.sort(key=lambda slot: -len(queries[slot[0]][1][slot[1]]))
    prompts, tails = [queries[row][0] for row, _ in slots], [queries[row][1][place] for row, place in slots]
    capacity = round_up(max(len(prompt) + len(tail) for prompt, tail in zip(prompts, tails, strict=True)))
    cache = SlotCache(model.config.get_text_config().num_hidden_layers, max(len(slots), MIN_ROWS), capacity)
    rows = torch.tensor([row for row, _ in slots], device=device)
    ends = torch.tensor([len(prompt) - 1 for prompt, _ in queries], device=device)
    padded = pad_right([prompt for prompt, _ in queries], length=round_up(int(ends.max()) + 1)).to(device)
    hidden = read_prompts(decoder, cache, padded, rows, 0)[torch.arange(len(queries), device=device), ends]
    sums = token_logs(output_logits(head, hidden), rows, [tail[0] for tail in tails])
    for step in range(1, len(tails[0])):
        count = sum(len(tail) > step for tail in tails)
        lengths = [len(prompt) + step - 1 for prompt in prompts[:count]]
        states = read_next_tokens(decoder, cache, [tail[step - 1] for tail in tails[:count]], lengths)
        sums[:count] += token_logs(output_logits(head, states), torch.arange(count, device=device), [tail[step] for tail in tails[:count]])
    values = [[None] * len(replies) for _, replies in queries]
    for (row, place), total in zip(slots, sums.tolist(), strict=True):
        values[row][place] = total
    return values


def token_logs(logits, rows, tokens):
    """Natural log of the probability of each of ``tokens`` in its row of logits [any, vocabulary]: float64 [tokens]."""
    logits = logits.float()
    chosen = logits[rows, torch.tensor(tokens, device=logits.device)].double()
    return chosen - logits.logsumexp(dim=-1).double()[rows]


def log_probabilities_of_all(load, queries, identity, store, chunk_size):
    """(values, memory) as reply_log_probabilities of all ``queries``; those that an earlier run kept in ``store`` are read from there.

    load(): the model; called once, if a query is missing. Each ``chunk_size`` queries are kept under digests of their token ids
    and ``identity`` (model, adapter, precision, versions, code).
    """
    shared = digest_of(identity)
    keys = [digest_of([shared, *query]) for query in queries]
    memory = {"times": 0, "batch_tokens": SLOT_TOKENS}
    compute = in_chunks(load, reply_log_probabilities, memory, chunk_size)
    kept = compute_missing(dict(zip(keys, queries, strict=True)), shared, store, compute, chunk_size, STAGE.label, STAGE.unit)
    return [kept[key] for key in keys], memory
