"""Going on when memory runs out: recognising it, freeing what the failed work held, and sampling with fewer rows."""

import gc
from functools import partial

import torch

from persona_leakage.infrastructure.cli import InputError

# What memory that ran out is called where it is no exception of its own: CUDA's runtime, cuBLAS, cuDNN, the CPU allocator, C++.
MESSAGES = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "ALLOCATION_FAILED",
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "std::bad_alloc",
)


def is_out_of_memory(error):
    """Whether an exception says that memory ran out, of a GPU or of the machine."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in MESSAGES)


def fits(work):
    """Call ``work()``: (its result, None), or (None, what was said) if memory ran out. Other exceptions pass.

    Memory is freed behind the except block: until then the exception keeps the failed frames, and they their tensors.
    """
    try:
        return work(), None
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        said = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    free_memory()
    return None, said


def free_memory():
    """Give back what no object holds any more, also what torch keeps for later."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def half_of(rows, tokens, stage, said, advice):
    """Half of the padded ``tokens`` of a batch of ``rows`` that did not fit, as the next budget; InputError if it was one row."""
    if rows == 1:
        raise InputError(
            f"{stage}: out of memory with a single row of {tokens} tokens ({said}); {advice}, or use a device with more memory"
        )
    print(f"{stage}: out of memory with {rows} rows, {tokens} padded tokens ({said}); going on with half of that", flush=True)
    return tokens // 2


def add_up(memory, now):
    """{"times", "batch_tokens"} of a stage so far together with those of its newest part, which began with the former's limit."""
    return {"times": memory["times"] + now["times"], "batch_tokens": now["batch_tokens"]}


def sample_with_fewer_slots(engine, requests, sampling, record):
    """As ``engine.sample``, with half the ``engine.slots`` as often as memory runs out; finished replies are kept.

    engine: has .slots, the most rows it runs at once; they stay halved. record: {"times", "batch_size"}, kept up to
    date. A reply has a random stream of its own, so the company it is sampled in changes it by rounding at most.
    """
    left = dict.fromkeys(requests)
    while left:
        completions = engine.sample(list(left), sampling)
        while True:
            completion, said = fits(partial(next, completions, None))
            if completion is None:
                break
            del left[completion.request]
            yield completion
        if said is None:
            return
        slots = min(engine.slots, len(left))
        longest = max(len(request.prompt_ids) for request in left) + sampling.max_new_tokens
        half_of(slots, slots * longest, "sampling", said, "lower max_new_tokens, or set engine.precision: bfloat16")
        engine.slots = slots // 2
        record["times"] += 1
        record["batch_size"] = engine.slots
