"""How a vLLM engine starts on a GPU: its CUDA graphs, in which process, its model runner. vLLM itself is not imported.

benchmarks/engine_start.py measures the variants. Their batches are padded to different sizes, so replies may differ by rounding.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from persona_leakage.infrastructure.files import read_json

RUNNER, SECOND_RUNNER = "VLLM_USE_V2_MODEL_RUNNER", {"Qwen2ForCausalLM"}
IN_PROCESS = "VLLM_ENABLE_V1_MULTIPROCESSING"
SMALL_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 192)
LENGTH_STEP = 512
AT_ONCE = 2048  # unfinished requests that an engine is given: twice the 1,024 that vLLM computes together on a large GPU


@dataclass(frozen=True)
class Start:
    """few_graphs: graph_sizes instead of vLLM's steps of 8 and 16 tokens, of which each costs two to four captures.

    one_process: the engine in the process that asks for it, which then imports vLLM once, not twice.
    """

    few_graphs: bool = False
    one_process: bool = False


STARTS = {"vllm": Start(), "few": Start(few_graphs=True), "few-one-process": Start(few_graphs=True, one_process=True)}
START = STARTS["few-one-process"]  # what the workflow uses


def compilation_arguments(start, at_once):
    """Engine arguments: the graphs that are captured; at_once: most replies in progress."""
    if start.few_graphs:
        return {"compilation_config": {"cudagraph_capture_sizes": graph_sizes(at_once)}}
    # vLLM's own end at 512.
    return {"compilation_config": {"max_cudagraph_capture_size": at_once}} if at_once > 512 else {}


def variables(start):
    """{name: value} of vLLM's environment variables of a ``start`` that the user has not set. vLLM reads some when it is imported."""
    return {IN_PROCESS: "0"} if start.one_process and IN_PROCESS not in os.environ else {}


def graph_sizes(at_once):
    """Token counts of the graphs for up to ``at_once`` replies; a smaller batch is padded to the next one.

    Steps of an eighth to a fourth, where a padded token costs time. They end at twice ``at_once``: while replies end and others begin,
    a batch has a token of each reply and the prompts of the new ones, so that graphs of at most ``at_once`` tokens would never fit.
    """
    sizes, size = [], 256
    while size < 2 * at_once:
        sizes += [size * part // 4 for part in (4, 5, 6, 7)]
        size *= 2
    return sorted({size for size in (*SMALL_SIZES, *sizes, at_once, 2 * at_once) if size <= 2 * at_once})


def rounded_length(longest, limit):
    """``longest`` tokens rounded up, to at most the model's ``limit`` (None: not known): vLLM compiles anew for each other length."""
    rounded = -(-longest // LENGTH_STEP) * LENGTH_STEP
    return longest if limit is None or longest > limit else min(rounded, limit)


def model_length(folder, longest):
    """vLLM's max_model_len for the model in ``folder`` and ``longest`` tokens of a prompt and its reply."""
    return rounded_length(longest, read_json(Path(folder) / "config.json").get("max_position_embeddings"))


def own_facts(folder, device):
    """Facts that decide vLLM's replies, besides those recorded for every engine: its model runners draw differently from the same seed."""
    return {"model_runner": model_runner(folder)} if device == "cuda" else {}


def model_runner(folder):
    """Value of the variable RUNNER for the model in ``folder``: the one that is set, else "1" for SECOND_RUNNER, else None.

    "1" selects vLLM's second model runner. It samples the next token of all seeded replies in one kernel. vLLM 0.24 selects it
    itself for some families (Llama, Qwen3).
    """
    architectures = read_json(Path(folder) / "config.json").get("architectures") or ()
    return os.environ.get(RUNNER) or ("1" if SECOND_RUNNER.intersection(architectures) else None)
