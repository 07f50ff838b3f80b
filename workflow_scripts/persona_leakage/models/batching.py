"""Rows of unequal length in batches: grouping by a token budget, and padding."""

import torch


def split_by_tokens(indices, lengths, budget):
    """Split row indices into batches of like length, longest first, of at most ``budget`` padded tokens (one row at least)."""
    batches = []
    for row in sorted(indices, key=lambda row: -lengths[row]):
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= budget:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def pad_right(sequences, value=0, length=None):
    """int64 [rows, length] with each sequence at the left, padded with ``value``; length: the longest one's unless given."""
    padded = torch.full((len(sequences), length or max(map(len, sequences))), value, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        padded[row, : len(sequence)] = torch.tensor(sequence)
    return padded


def length_mask(lengths, longest=None):
    """int64 [rows, longest]: 1 where a row has a token, 0 where it is padded; longest: the largest of ``lengths`` unless given."""
    lengths = torch.as_tensor(lengths)
    return (torch.arange(longest or int(lengths.max()))[None, :] < lengths[:, None]).long()
