"""The portable sampling engine: transformers on a CPU or GPU, with rows that leave and enter a running batch."""

from collections import deque
from dataclasses import dataclass, field

import torch

from persona_leakage.inference.kv_cache import SlotCache, read_next_tokens, read_prompts
from persona_leakage.inference.requests import Request, completion_of
from persona_leakage.inference.top_p_sampling import draw_tokens, uniform_stream
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.models.attention import (
    MIN_ROWS,
    PROBE_TOKENS,
    check_alike,
    output_logits,
    probe_states,
    round_up,
    use_causal_attention,
)
from persona_leakage.models.batching import pad_right
from persona_leakage.models.limits import check_length, limits_of
from persona_leakage.models.out_of_memory import is_out_of_memory

# Waiting requests enter when this share of the slots is free: one prefill for many rows is cheaper.
REFILL_SHARE = 1 / 8


@dataclass
class Running:
    """A request that occupies a slot: its uniforms, its length in the cache, its tokens so far."""

    request: object
    uniforms: torch.Tensor
    length: int
    token_ids: list = field(default_factory=list)


class TransformersEngine:
    """Samples replies with a transformers model; one instance per loaded model and adapter.

    Requests run in ``slots`` rows of one batch; a finished row's slot goes to the next waiting request. A row does not depend on the
    other rows (models/attention.py): on a CPU with one thread a request always gives the same reply.
    """

    def __init__(self, model, tokenizer, stop_ids, slots):
        self.model, self.tokenizer, self.stop_ids, self.slots = model, tokenizer, frozenset(stop_ids), slots
        self.decoder = model.get_decoder()
        self.head = model.get_output_embeddings()
        self.device = next(model.parameters()).device
        own = probe_states(model)
        use_causal_attention(model)
        self._check_cache(own)

    @torch.inference_mode()
    def sample(self, requests, sampling):
        """Yield a :class:`Completion` for each of ``requests``, in the order in which they finish."""
        waiting = deque(requests)
        longest = max(len(request.prompt_ids) for request in requests) + sampling.max_new_tokens
        check_length(limits_of(self.model.config.get_text_config()), longest, "max_new_tokens", "prompt and reply")
        slots = min(self.slots, len(requests))
        cache = SlotCache(self.model.config.get_text_config().num_hidden_layers, max(slots, MIN_ROWS), round_up(longest))
        running = []
        logits = None
        while waiting or running:
            free = slots - len(running)
            if waiting and free >= min(len(waiting), max(1, int(slots * REFILL_SHARE))):
                entering = [waiting.popleft() for _ in range(min(free, len(waiting)))]
                entered = self._prefill(cache, entering, len(running))
                logits = entered if logits is None else torch.cat([logits, entered])
                running += [
                    Running(request, uniform_stream(request.seed, sampling.max_new_tokens), len(request.prompt_ids)) for request in entering
                ]
            tokens = self._draw(logits, running, sampling)
            yield from self._retire(cache, running, tokens, sampling.max_new_tokens)
            logits = self._decode(cache, running) if running else None

    @torch.inference_mode()
    def _check_cache(self, own):
        """InputError unless token by token through the slots gives the logits of the model's own pass, whose states are ``own``."""
        ids = [token % self.model.config.get_text_config().vocab_size for token in range(1, PROBE_TOKENS + 1)]
        half = PROBE_TOKENS // 2
        try:
            cache = SlotCache(self.model.config.get_text_config().num_hidden_layers, MIN_ROWS, round_up(PROBE_TOKENS))
            row = Running(Request("", "", 0, tuple(ids[:half]), 0), None, half)
            logits = self._prefill(cache, [row.request], 0)
            for token in ids[half:]:
                row.token_ids.append(token)
                row.length += 1
                logits = self._decode(cache, [row])
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            if is_out_of_memory(error):
                raise
            architecture = self.model.config.get_text_config().model_type
            raise InputError(f"model: architecture '{architecture}' cannot be sampled by the transformers engine ({error})") from error
        check_alike(self.model, logits[0], output_logits(self.head, own[:, -1])[0], "when it is fed token by token")

    def _prefill(self, cache, entering, first_slot):
        """Read the prompts of entering requests, each distinct prompt once; logits [entering, vocabulary] at their ends."""
        prompts = list(dict.fromkeys(request.prompt_ids for request in entering))
        row_of = {ids: row for row, ids in enumerate(prompts)}
        rows = torch.tensor([row_of[request.prompt_ids] for request in entering], device=self.device)
        lengths = torch.tensor([len(ids) for ids in prompts], device=self.device)
        padded = pad_right(prompts, length=round_up(int(lengths.max())))
        hidden = read_prompts(self.decoder, cache, padded.to(self.device), rows, first_slot)
        last = hidden[torch.arange(len(prompts), device=self.device), lengths - 1]
        return output_logits(self.head, last)[rows]

    def _decode(self, cache, running):
        """Feed the last token of each running row. Returns logits [running, vocabulary] of the next one."""
        hidden = read_next_tokens(self.decoder, cache, [row.token_ids[-1] for row in running], [row.length - 1 for row in running])
        return output_logits(self.head, hidden)[: len(running)]

    def _draw(self, logits, running, sampling):
        """Next token ids of the running rows, as a list."""
        uniforms = torch.stack([row.uniforms[len(row.token_ids)] for row in running]).to(self.device)
        return draw_tokens(logits, uniforms, sampling.temperature, sampling.top_p).tolist()

    def _retire(self, cache, running, tokens, limit):
        """Append the drawn tokens; yield finished rows and close the gaps they leave with the last rows."""
        stopped = [token in self.stop_ids for token in tokens]
        for row, token, stop in zip(running, tokens, stopped, strict=True):
            if not stop:
                row.token_ids.append(token)
                row.length += 1
        for slot in reversed(range(len(running))):
            row = running[slot]
            if stopped[slot] or len(row.token_ids) == limit:
                last = len(running) - 1
                if slot != last:
                    cache.move(last, slot)
                    running[slot] = running[last]
                running.pop()
                yield completion_of(row.request, row.token_ids, "stop" if stopped[slot] else "length", self.tokenizer)
