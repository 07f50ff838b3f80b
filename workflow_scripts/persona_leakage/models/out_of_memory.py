"""When memory runs out: recognizing it, freeing what the failed work held, and halving the batch.

torch is imported only when asked for: it takes seconds, in which a sampling job has vLLM imported by another process.
"""

import gc

from persona_leakage.infrastructure.cli import InputError

# Errors without an exception class of their own: CUDA's runtime, cuBLAS, cuDNN, the CPU allocator, C++.
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
    """Whether an exception means that a GPU or the machine ran out of memory."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in MESSAGES)


def fits(work):
    """Call ``work()``. Returns (its result, None), or (None, first line of the error) if memory ran out; raises other errors.

    Memory is freed after the except block: until then the exception keeps the failed frames, and they keep their tensors.
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
    """Free unreferenced objects and torch's cache."""
    import torch

    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def half_of(rows, tokens, stage, said, advice):
    """Half of the padded ``tokens`` of a batch of ``rows`` that did not fit, as the next budget; InputError if it was one row."""
    if rows == 1:
        raise InputError(
            f"{stage}: out of memory with a single row of {tokens} tokens ({said}); {advice}, or use a device with more memory"
        )
    print(f"{stage}: out of memory with {rows} rows, {tokens} padded tokens ({said}); continuing with half of that", flush=True)
    return tokens // 2


def add_up(memory, now):
    """{"times", "batch_tokens"} of a stage so far together with those of its newest part, which began with the former's limit."""
    return {"times": memory["times"] + now["times"], "batch_tokens": now["batch_tokens"]}
