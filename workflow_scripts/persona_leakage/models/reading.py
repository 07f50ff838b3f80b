"""The model of a job that reads texts, with an adapter or without."""

from functools import partial

from persona_leakage.models.loading import load_model, model_facts, pick_device, pick_precision, surroundings
from persona_leakage.models.lora import load_adapter


def load_state(manifest, dtype, device, adapter, merge):
    """The model with an adapter (None: the base model); merge: fold it into the weights."""
    model = load_model(manifest, dtype, device)
    return load_adapter(model, adapter.folder, merge) if adapter else model


def prepare_reading(manifest, adapter, precision, merge):
    """(load, facts, identity) of a job that reads texts with a model: load() gives it, facts are for the meta block.

    adapter: None for the base model. identity: all that decides the numbers apart from the texts.
    """
    device = pick_device()
    dtype = pick_precision(precision, device)
    merge = merge if adapter else None
    facts = {
        "model": model_facts(manifest),
        "adapter_sha256": adapter.sha256 if adapter else None,
        "merge_adapter": merge,
        "precision": str(dtype).removeprefix("torch."),
    }
    return partial(load_state, manifest, dtype, device, adapter, merge), facts, [facts, *surroundings(dtype, device)]
