"""Many token sequences through a model's blocks once, as many side by side as memory takes."""

import torch

from persona_leakage.batching import pad_right, split_by_tokens
from persona_leakage.causal_attention import NAME, round_up
from persona_leakage.errors import InputError
from persona_leakage.progress import Progress


def prefill(model, sequences, batch_tokens, label, unit):
    """Yield (indices into ``sequences``, their last hidden states [rows, padded length, hidden]), batch by batch.

    No output layer runs. Sequences (lists of token ids) go sorted by length, padded on the right, at most
    ``batch_tokens`` padded tokens at a time; what stands beside a sequence does not change its states (see
    causal_attention). label, unit: for the progress lines. InputError if a sequence exceeds the model's window.
    """
    decoder = model.get_decoder()
    lengths = [len(ids) for ids in sequences]
    window = getattr(decoder.config, "sliding_window", None)
    if window and max(lengths) > window:
        raise InputError(f"{label}: {unit} of {max(lengths)} tokens exceed this model's window of {window}")
    model.set_attn_implementation(NAME)
    device = next(model.parameters()).device
    padded_lengths = [round_up(length) for length in lengths]
    # Padding stands on the right, where causal attention never looks; the mask only has to be a ready-made 4D one.
    mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)
    progress = Progress(label, len(sequences), unit)
    for batch in split_by_tokens(range(len(sequences)), padded_lengths, batch_tokens):
        input_ids = pad_right([sequences[index] for index in batch], length=padded_lengths[batch[0]])
        yield batch, decoder(input_ids=input_ids.to(device), attention_mask=mask, use_cache=False).last_hidden_state
        progress.advance(len(batch))
