"""Many token sequences through a model's blocks once, as many side by side as memory takes."""

from dataclasses import dataclass
from functools import partial

import torch

from persona_leakage.infrastructure.progress import Progress
from persona_leakage.models.attention import kernels_for_any_shape, round_up, use_causal_attention
from persona_leakage.models.batching import pad_right, split_by_tokens
from persona_leakage.models.limits import check_length, limits_of
from persona_leakage.models.out_of_memory import add_up, fits, half_of

BATCH_TOKENS = 4096  # padded tokens in memory at once, unless they do not fit


@dataclass(frozen=True)
class Stage:
    """Texts for messages about a pass: its label, what a sequence is, what to change if one does not fit into memory, or is too long."""

    label: str
    unit: str
    advice: str
    length_key: str


def prefill(model, sequences, work, batch_tokens, stage, progress=None):
    """Call work(indices into ``sequences``, forward) batch by batch; forward() gives the last hidden states [rows, padded length, hidden].

    Sequences are lists of token ids, sorted by length and padded on the right, at most ``batch_tokens`` padded tokens a batch; a
    sequence's states do not depend on its batch (models/attention.py). A batch that does not fit into memory is split and done again.
    progress: of more than these sequences. Returns {"times", "batch_tokens"}: how often memory ran out, and the limit at the end.
    InputError if a sequence exceeds the model's window or positions, or does not fit alone.
    """
    decoder = model.get_decoder()
    check_length(limits_of(decoder.config), max(len(ids) for ids in sequences), stage.length_key, stage.unit)
    use_causal_attention(model)

    def run(batch):
        work(batch, partial(last_states, decoder, [sequences[index] for index in batch]))

    return in_batches([round_up(len(ids)) for ids in sequences], run, batch_tokens, stage, progress)


def in_batches(lengths, work, batch_tokens, stage, progress=None):
    """Call work(indices) for one batch after the other of items of ``lengths`` padded tokens; see prefill for the rest."""
    memory = {"times": 0, "batch_tokens": batch_tokens}
    progress = progress or Progress(stage.label, len(lengths), stage.unit)
    batches = split_by_tokens(range(len(lengths)), lengths, batch_tokens)
    while batches:
        batch = batches[0]
        with kernels_for_any_shape():
            _, said = fits(partial(work, batch))
        if said is None:
            progress.advance(len(batch))
            batches.pop(0)
        else:
            memory["batch_tokens"] = half_of(len(batch), len(batch) * lengths[batch[0]], stage.label, said, stage.advice)
            memory["times"] += 1
            batches = split_by_tokens([index for batch in batches for index in batch], lengths, memory["batch_tokens"])
    return memory


def last_states(decoder, sequences):
    """The decoder's last hidden states of some sequences, side by side: [rows, padded length, hidden]."""
    device = next(decoder.parameters()).device
    padded = pad_right(sequences, length=round_up(max(map(len, sequences))))
    # Padding stands on the right, where causal attention never looks; the mask only has to be a ready-made 4D one.
    mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)
    return decoder(input_ids=padded.to(device), attention_mask=mask, use_cache=False).last_hidden_state


def in_chunks(load, measure, memory, size):
    """A function for compute_missing() that measures ``size`` items at a time with the model of load(); ``memory`` is kept up to date.

    measure(model, items, batch tokens) gives (a result of each item, memory as of prefill).
    """

    def compute(missing):
        model, keys = load(), list(missing)
        for start in range(0, len(keys), size):
            chunk = keys[start : start + size]
            results, now = measure(model, [missing[key] for key in chunk], memory["batch_tokens"])
            memory.update(add_up(memory, now))
            yield dict(zip(chunk, results, strict=True))

    return compute
