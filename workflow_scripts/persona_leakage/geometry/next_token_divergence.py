"""How differently would the base model speak as two personas? Jensen-Shannon divergence of its next tokens along given replies."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from persona_leakage.inference.batched_forward import Stage, prefill
from persona_leakage.inference.resumable_sampling import SUFFIX, read_part
from persona_leakage.infrastructure.files import digest_of, write_jsonl_gz
from persona_leakage.infrastructure.progress import Progress
from persona_leakage.infrastructure.resume import part_path, read_parts
from persona_leakage.models.out_of_memory import add_up

BATCH_TOKENS = 4096  # padded tokens in memory at once
STAGE = Stage("divergence", "prompts", "set geometry.precision: bfloat16", "evaluation.sampling.max_new_tokens")


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


def next_token_logs(head, hidden, prompt, reply):
    """Log-probabilities [len(reply) + 1, vocabulary] of the next token after 0, 1, ... tokens of ``reply`` behind ``prompt``.

    head: the output layer; hidden: last hidden states of the two together [padded length, hidden].
    """
    return torch.log_softmax(head(hidden[len(prompt) - 1 : len(prompt) + len(reply)]).float(), dim=-1)


@torch.inference_mode()
def compare_along(model, own_prompt, others, reply, batch_tokens=BATCH_TOKENS, progress=None):
    """([sum over the positions of jensen_shannon] of each prompt of ``others`` against ``own_prompt``, along a reply; memory).

    The output layer runs row by row. What stands beside a row does not change it; memory and progress: see prefill.
    """
    head, own, sums = model.get_output_embeddings(), [], [0.0] * len(others)

    def keep(batch, forward):
        own[:] = [next_token_logs(head, forward()[0], own_prompt, reply)]

    def compare(batch, forward):
        hidden = forward()
        for row, place in enumerate(batch):
            sums[place] = float(jensen_shannon(own[0], next_token_logs(head, hidden[row], others[place], reply)).sum())

    prefill(model, [[*own_prompt, *reply]], keep, batch_tokens, STAGE, progress)
    return sums, prefill(model, [[*prompt, *reply] for prompt in others], compare, batch_tokens, STAGE, progress)


def measure_all(load, comparisons, identity, store, chunk_size):
    """([sum of jensen_shannon over the len(reply) + 1 positions] of each Comparison, memory).

    load(): the model; called once, if one is missing. Comparisons along the same reply behind the same prompt share the pass
    for that prompt. About ``chunk_size`` are kept at a time in a folder of ``store``, under digests of their token
    ids and ``identity`` (model, precision, versions, code). memory: see prefill.
    """
    shared = digest_of(identity)
    keys = {item: digest_of([shared, item.own_prompt, item.other_prompt, item.reply]) for item in comparisons}
    folder = Path(store) / shared[:32]
    kept = read_parts(folder, SUFFIX, read_part, set(keys.values()))
    groups = {}
    for item, key in keys.items():
        if key not in kept:
            groups.setdefault((item.own_prompt, item.reply), []).append(item)
    if kept:
        print(f"divergence: {len(kept)} of {len(keys)} comparisons are kept from earlier", flush=True)
    progress = Progress("divergence", sum(map(len, groups.values())) + len(groups), STAGE.unit)
    model, part, memory = load() if groups else None, {}, {"times": 0, "batch_tokens": BATCH_TOKENS}
    for number, ((own_prompt, reply), items) in enumerate(groups.items(), 1):
        sums, now = compare_along(model, own_prompt, [item.other_prompt for item in items], reply, memory["batch_tokens"], progress)
        memory = add_up(memory, now)
        part |= zip((keys[item] for item in items), sums, strict=True)
        if len(part) >= chunk_size or number == len(groups):
            write_jsonl_gz(part_path(folder, part, SUFFIX), map(list, sorted(part.items())))
            kept |= part
            part = {}
    return [kept[keys[item]] for item in comparisons], memory
