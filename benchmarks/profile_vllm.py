"""Where a step of vLLM's decoding spends the GPU's time: an adapter beside the weights, as many replies in progress as vLLM takes."""

import argparse
import os
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from harness import about
from models import make_prompts
from persona_leakage.inference.requests import SamplingParams, make_requests
from persona_leakage.infrastructure.files import write_json
from persona_leakage.models.loading import pick_device
from sampling import REPLIES, SAMPLING, make_vllm

# Parts of kernels' names, the first that fits counts.
KINDS = {
    "top_p": ("_topk_topp",),
    "adapter": ("_lora_",),
    "attention": ("flash::", "attention"),
    "matrix products": ("nvjet", "gemm", "onednn_mm", "addmm", "bmm"),
    "drawing": ("gumbel", "exponential"),
}
STEPS = 10
WARM_STEPS = 60  # the prompts are read, the batch is full


def kind_of(kernel):
    """The key of KINDS for a kernel's name, or "other"."""
    return next((kind for kind, parts in KINDS.items() if any(part in kernel for part in parts)), "other")


def per_step(events, on_gpu):
    """{kernel: milliseconds a step} of the profiler's averages: kernels on a GPU, operators on a CPU."""
    if on_gpu:  # annotations there span other kernels
        events = [event for event in events if event.device_type == torch.autograd.DeviceType.CUDA and not event.is_user_annotation]
    times = Counter()
    for event in events:
        times[event.key] += (event.self_device_time_total if on_gpu else event.self_cpu_time_total) / 1000 / STEPS
    return dict(sorted(times.items(), key=lambda item: -item[1]))


def profile_steps(engine, requests, sampling, adapter, on_gpu):
    """(seconds of a step without the profiler, {kernel: milliseconds a step}) of ``engine`` in the middle of its work."""
    from persona_leakage.inference.vllm_engine import lora_request

    wait = torch.cuda.synchronize if on_gpu else lambda: None
    list(engine.sample(requests[:1], SamplingParams(**sampling | {"max_new_tokens": 1})))
    engine.send(requests, lora_request(adapter), **sampling)
    for _ in range(WARM_STEPS if on_gpu else STEPS):
        engine.engine.step()
    wait()
    started = time.perf_counter()
    for _ in range(STEPS):
        engine.engine.step()
    wait()
    seconds = (time.perf_counter() - started) / STEPS
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as found:
        for _ in range(STEPS):
            engine.engine.step()
        wait()
    return seconds, per_step(found.key_averages(), on_gpu)


def main():
    """Write {seconds of a step, milliseconds of each kind and kernel} to --output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", required=True, type=Path, help="JSON file to write")
    parser.add_argument("--shape", default="smollm2", choices=list(REPLIES), help="the model (default: %(default)s)")
    args = parser.parse_args()
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # the engine in this process, where the profiler sees it
    *number, draws = REPLIES[args.shape]
    prompts = [("persona", str(index), ids) for index, ids in enumerate(make_prompts(*number))]
    on_gpu = pick_device() == "cuda"
    with tempfile.TemporaryDirectory() as folder:
        engine, adapter = make_vllm(args.shape, "beside", Path(folder))
        requests = make_requests(prompts, draws, (0,))
        seconds, kernels = profile_steps(engine, requests, SAMPLING[args.shape], adapter, on_gpu)
    kinds = dict.fromkeys([*KINDS, "other"], 0.0)
    for kernel, milliseconds in kernels.items():
        kinds[kind_of(kernel)] += milliseconds
    write_json(args.output, {"shape": args.shape, "seconds_per_step": seconds, "kinds": kinds, "kernels": kernels, **about()})


if __name__ == "__main__":
    main()
