"""A key/value cache in which every row is a slot of its own length, so that rows can leave and enter."""

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from persona_leakage.models.attention import MIN_ROWS, round_up


class SlotLayer(DynamicLayer):
    """One block's keys and values [slots, kv_heads, capacity, head_dim]; ``plan``, the :class:`SlotCache`, says what the next pass does."""

    def __init__(self, plan):
        super().__init__()
        self.plan = plan

    def lazy_initialization(self, key_states, value_states):
        """Allocate on the first write, when head count, width, dtype and device are known."""
        shape = (self.plan.slots, key_states.shape[1], self.plan.capacity, key_states.shape[3])
        self.keys, self.values = key_states.new_zeros(shape), value_states.new_zeros(shape)
        self.is_initialized = True

    def update(self, key_states, value_states, *args, **kwargs):
        """Store new keys and values [rows, kv_heads, length, head_dim]; return those to attend to.

        Prefill: a row is a prompt, copied to every slot that continues it; attention stays within the prompts. Decode: one new token for
        each of the first ``rows`` slots, at its own position; attention sees the first ``longest`` tokens of each slot.
        """
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        plan, length = self.plan, key_states.shape[2]
        if plan.prefill_rows is not None:
            self.keys[plan.prefill_slots, :, :length] = key_states[plan.prefill_rows]
            self.values[plan.prefill_slots, :, :length] = value_states[plan.prefill_rows]
            return key_states, value_states
        rows = key_states.shape[0]
        every = torch.arange(rows, device=key_states.device)
        self.keys[every, :, plan.positions] = key_states[:, :, 0]
        self.values[every, :, plan.positions] = value_states[:, :, 0]
        return self.keys[:rows, :, : plan.longest], self.values[:rows, :, : plan.longest]

    def move(self, source, target):
        """Copy slot ``source`` over slot ``target``."""
        self.keys[target], self.values[target] = self.keys[source], self.values[source]


class SlotCache(Cache):
    """Cache with ``slots`` rows of up to ``capacity`` tokens for a model of ``blocks`` blocks."""

    def __init__(self, blocks, slots, capacity):
        self.slots, self.capacity = slots, capacity
        self.prefill_rows = self.prefill_slots = self.positions = self.longest = None
        super().__init__(layers=[SlotLayer(self) for _ in range(blocks)])

    def plan_prefill(self, rows, slots):
        """The next pass reads prompts; prompt ``rows[i]`` (LongTensor) goes into slot ``slots[i]``."""
        self.prefill_rows, self.prefill_slots = rows, slots

    def plan_decode(self, positions, longest):
        """The next pass adds one token to each first slot, at ``positions`` [rows], and attends to the first ``longest`` tokens of each."""
        self.prefill_rows = None
        self.positions, self.longest = positions, longest

    def move(self, source, target):
        """Copy slot ``source`` over slot ``target`` in every layer."""
        for layer in self.layers:
            layer.move(source, target)


def read_prompts(decoder, cache, padded, rows, first_slot):
    """Read prompts [prompts, padded length] and copy the one in ``rows[i]`` into slot first_slot + i; hidden states of all prompts."""
    device = padded.device
    cache.plan_prefill(rows, first_slot + torch.arange(len(rows), device=device))
    positions = torch.arange(padded.shape[1], device=device).expand(padded.shape)
    # Padding stands on the right, where causal attention never looks; the mask only has to be a ready-made 4D one.
    mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)
    return forward(decoder, padded, positions, mask, cache)


def read_next_tokens(decoder, cache, tokens, lengths):
    """Feed one token to each of the first slots, after the ``lengths`` tokens that they hold: hidden states [len(tokens), hidden]."""
    device = next(decoder.parameters()).device
    # Rows of slots that no reply occupies: occupied ones come first, and a prefill writes over what these leave behind.
    idle = max(0, MIN_ROWS - len(tokens))
    positions = torch.tensor([*lengths] + [0] * idle, device=device)
    longest = round_up(max(lengths) + 1)
    cache.plan_decode(positions, longest)
    seen = torch.arange(longest, device=device)[None, :] <= positions[:, None]
    newest = torch.tensor([[token] for token in tokens] + [[0]] * idle, device=device)
    return forward(decoder, newest, positions[:, None], seen[:, None, None, :], cache)[:, 0]


def forward(decoder, input_ids, position_ids, mask, cache):
    """Hidden states [rows, length, hidden] before the output layer."""
    return decoder(
        input_ids=input_ids, position_ids=position_ids, attention_mask=mask, past_key_values=cache, use_cache=True
    ).last_hidden_state
