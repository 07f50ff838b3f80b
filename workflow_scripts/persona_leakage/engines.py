"""Choosing and starting a sampling engine."""

import torch

from persona_leakage.generation import SamplingParams
from persona_leakage.lora import load_adapter
from persona_leakage.model_loading import load_chat_format, load_model, load_tokenizer, model_facts, pick_device, pick_precision
from persona_leakage.provenance import loaded_code_digest, package_versions
from persona_leakage.sampling_run import sample_in_chunks
from persona_leakage.transformers_engine import TransformersEngine


def start_engine(manifest, engine, adapter_folder):
    """Load the model (and adapter, if not None) behind the engine that the config block ``engine`` asks for."""
    device = pick_device()
    model = load_model(manifest, pick_precision(engine["precision"], device), device)
    if adapter_folder is not None:
        model = load_adapter(model, adapter_folder, merge=engine["merge_adapter"])
    return TransformersEngine(model, load_tokenizer(manifest["folder"]), load_chat_format(manifest).stop_ids, engine["batch_size"])


def describe_engine(engine):
    """What decides an engine's replies besides model, adapter and requests; recorded, and part of the restart key."""
    device = pick_device()
    return {
        **engine,
        "name": TransformersEngine.name,
        "precision": str(pick_precision(engine["precision"], device)).removeprefix("torch."),
        "device": device,
        "threads": torch.get_num_threads() if device == "cpu" else None,
        "packages": {name: number for name, number in package_versions().items() if name in ("torch", "transformers", "peft")},
    }


def sample_all(manifest, requests, sampling, engine, restart_folder, label, adapter=None):
    """Sample all requests with restart points.

    sampling, engine: config blocks. adapter: (folder, SHA-256 of the weights) or None for the base.
    Returns (records in request order, facts for the meta block).
    """
    facts = {
        "model": model_facts(manifest),
        "engine": describe_engine(engine),
        "sampling": sampling,
        "adapter_sha256": adapter[1] if adapter else None,
    }
    identity = {**facts, "code": loaded_code_digest()}
    records = sample_in_chunks(
        lambda: start_engine(manifest, engine, adapter[0] if adapter else None),
        requests,
        SamplingParams(**sampling),
        engine["chunk_size"],
        identity,
        restart_folder,
        label,
    )
    return records, facts
