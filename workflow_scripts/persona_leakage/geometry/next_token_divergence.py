"""Jensen-Shannon divergence of the base model's next tokens under two personas, along given replies."""

import math
from dataclasses import dataclass

import torch

from persona_leakage.inference.batched_forward import BATCH_TOKENS, Stage, prefill
from persona_leakage.infrastructure.files import digest_of
from persona_leakage.infrastructure.progress import Progress
from persona_leakage.infrastructure.resume import compute_missing
from persona_leakage.models.out_of_memory import add_up

STAGE = Stage("divergence", "prompts", "set geometry.precision: bfloat16", "evaluation.sampling.max_new_tokens")


@dataclass(frozen=True)
class Comparison:
    """A reply's first tokens after the prompt of its own persona, and after that of another one."""

    own_prompt: tuple
    other_prompt: tuple
    reply: tuple


def jensen_shannon(first, second):
    """Jensen-Shannon divergence (Lin 1991) in bits: log-probabilities [..., vocabulary] -> [...], 0 (the same) to 1 (nothing in common)."""
    mixture = torch.logaddexp(first, second) - math.log(2)
    nats = ((first.exp() * (first - mixture)) + (second.exp() * (second - mixture))).sum(dim=-1) / 2
    return (nats / math.log(2)).clamp(0, 1)


def next_token_logs(head, hidden, prompt, reply):
    """Log-probabilities [len(reply) + 1, vocabulary] of the next token after ``prompt`` and 0, 1, ... tokens of ``reply``.

    head: the output layer; hidden: last hidden states of the two together [padded length, hidden].
    """
    return torch.log_softmax(head(hidden[len(prompt) - 1 : len(prompt) + len(reply)]).float(), dim=-1)


@torch.inference_mode()
def compare_along(model, own_prompt, others, reply, batch_tokens=BATCH_TOKENS, progress=None):
    """([sum over the positions of jensen_shannon] of each prompt of ``others`` against ``own_prompt``, along a reply; memory).

    The output layer runs row by row. The other rows of a batch do not change it; memory and progress: see prefill.
    """
    head, own, sums = model.get_output_embeddings(), [], [0.0] * len(others)

    def keep(batch, forward):
        own[:] = [next_token_logs(head, forward()[0], own_prompt, reply)]

    def compare(batch, forward):
        hidden = forward()
        for row, index in enumerate(batch):
            sums[index] = float(jensen_shannon(own[0], next_token_logs(head, hidden[row], others[index], reply)).sum())

    prefill(model, [[*own_prompt, *reply]], keep, batch_tokens, STAGE, progress)
    return sums, prefill(model, [[*prompt, *reply] for prompt in others], compare, batch_tokens, STAGE, progress)


def measure_all(load, comparisons, identity, store, chunk_size):
    """([sum of jensen_shannon over the len(reply) + 1 positions] of each Comparison, memory as of prefill).

    load(): the model; called once, if one is missing. Comparisons along the same reply and prompt share the pass for that prompt.
    About ``chunk_size`` are kept at a time in a folder of ``store``, under digests of their token ids and ``identity``.
    """
    shared = digest_of(identity)
    keys = {item: digest_of([shared, item.own_prompt, item.other_prompt, item.reply]) for item in comparisons}
    memory = {"times": 0, "batch_tokens": BATCH_TOKENS}

    def compute(missing):
        groups = {}
        for key, item in missing.items():
            groups.setdefault((item.own_prompt, item.reply), {})[key] = item.other_prompt
        progress = Progress(STAGE.label, len(missing) + len(groups), STAGE.unit)
        model = load()
        for (own_prompt, reply), others in groups.items():
            sums, now = compare_along(model, own_prompt, list(others.values()), reply, memory["batch_tokens"], progress)
            memory.update(add_up(memory, now))
            yield dict(zip(others, sums, strict=True))

    items = {key: item for item, key in keys.items()}
    kept = compute_missing(items, shared, store, compute, chunk_size, STAGE.label, "comparisons")
    return [kept[keys[item]] for item in comparisons], memory
