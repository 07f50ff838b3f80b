"""What goes into and comes out of a sampling engine, whichever it is."""

from dataclasses import dataclass

from persona_leakage.infrastructure.seeds import derive_seed


@dataclass(frozen=True)
class SamplingParams:
    """temperature (0 = greedy), top_p (nucleus share, 1 = off), max_new_tokens (limit of a reply)."""

    temperature: float
    top_p: float
    max_new_tokens: int


@dataclass(frozen=True)
class Request:
    """One reply to sample: whose (persona, question, index of the draw), from which prompt ids, with which seed."""

    persona: str
    question: str
    index: int
    prompt_ids: tuple
    seed: int


@dataclass(frozen=True)
class Completion:
    """A sampled reply without its stop token; finish_reason: "stop" (its turn ended) or "length" (truncated at max_new_tokens)."""

    request: Request
    token_ids: tuple
    text: str
    finish_reason: str


def make_requests(prompts, draws, seed_parts):
    """``draws`` requests for each (persona, question, prompt_ids), in order, each with its own seed hashed from ``seed_parts`` and these.

    An engine that samples n replies of one request gives them seed, seed + 1, ...; hashed seeds do not meet those of a neighbour.
    """
    requests, taken = [], set()
    for persona, question, ids in prompts:
        for index in range(draws):
            seed = derive_seed(*seed_parts, persona, question, index)
            while seed in taken:
                seed = derive_seed(seed, *seed_parts, persona, question, index)
            taken.add(seed)
            requests.append(Request(persona, question, index, tuple(ids), seed))
    return requests


def completion_of(request, ids, finish_reason, tokenizer):
    """The :class:`Completion` of a reply's token ``ids``, which end before the stop token."""
    text = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return Completion(request, tuple(ids), text, finish_reason)


def completion_record(completion):
    """The JSON record of a completion, as it stands in completions.jsonl.gz and pool.jsonl.gz."""
    request = completion.request
    return {
        "persona": request.persona,
        "question": request.question,
        "index": request.index,
        "seed": request.seed,
        "finish_reason": completion.finish_reason,
        "text": completion.text,
        "token_ids": list(completion.token_ids),
    }
