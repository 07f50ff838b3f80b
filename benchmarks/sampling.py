"""Replies to the same prompts: ours, transformers' generate in fixed batches, vLLM where it is installed; without and with an adapter."""

import importlib.util
import os
import tempfile
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch

from harness import ROOT, SHARED, run_stage
from models import BUNDLED, CONFIG, SHARPER, bundled_manifest, make_model, make_prompts, sharpen, tokenizer_and_format
from persona_leakage.config.personas import read_yaml
from persona_leakage.inference.requests import SamplingParams, make_requests
from persona_leakage.inference.transformers_engine import TransformersEngine
from persona_leakage.infrastructure.files import sha256_of_file
from persona_leakage.models.loading import pick_device
from persona_leakage.models.lora import attach_new_adapter, load_adapter, save_adapter
from persona_leakage.models.saved_adapter import WEIGHTS

# (personas, questions of each, replies to each prompt); the presets draw ten.
REPLIES = {"smollm2": (20, 2, 1), "qwen2.5-7b": (10, 20, 10), "qwen2.5-1.5b": (10, 20, 10)}
SLOTS = {"smollm2": 20, "qwen2.5-7b": 512, "qwen2.5-1.5b": 512}
# Random weights hardly ever end a reply: 256 tokens is half the presets' limit, and about what resources/rates.yaml plans with.
PRESET = read_yaml(ROOT / "presets/paper.yaml")["evaluation"]["sampling"] | {"max_new_tokens": 256}
SAMPLING = {"smollm2": CONFIG["evaluation"]["sampling"], "qwen2.5-7b": PRESET, "qwen2.5-1.5b": PRESET}
# Of the first call, which is not timed.
FEW_PROMPTS, FEW_TOKENS = 8, 8


def prepare(shape):
    """(shape, token ids of a prompt for each reply, sampling, models made so far), a little and all.

    A contender makes its model at its first call.
    """
    *number, draws = REPLIES[shape]
    prompts, made = [ids for ids in make_prompts(*number) for _ in range(draws)], {}
    sampling = SAMPLING[shape]
    return (shape, prompts[::draws][:FEW_PROMPTS], sampling | {"max_new_tokens": FEW_TOKENS}, made), (shape, prompts, sampling, made)


def sharp_model(shape):
    """The model of the shape; if its weights are random, with logits as uneven as a trained model's."""
    return sharpen(make_model(shape), shape)


def model_with(shape, adapter):
    """A model without adapter (None), or with one beside the weights ("beside") or folded into them ("merged")."""
    model = sharp_model(shape)
    if adapter is None:
        return model
    with tempfile.TemporaryDirectory() as folder:
        save_adapter(attach_random_adapter(model), shape, folder)
        return load_adapter(sharp_model(shape), folder, merge=adapter == "merged")


def attach_random_adapter(model):
    """``model`` with an adapter that does something: a new one's B is zero."""
    torch.manual_seed(0)
    wrapped = attach_new_adapter(model, CONFIG["training"]["lora"], 0)
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    return wrapped


def ours(work, adapter):
    """The workflow's engine: a finished reply's place goes to the next prompt, each reply with a seed of its own."""
    shape, prompts, sampling, made = work
    if not made:
        tokenizer, chat = tokenizer_and_format()
        made["engine"] = TransformersEngine(model_with(shape, adapter), tokenizer, chat.stop_ids, SLOTS[shape])
    requests = make_requests([("persona", str(index), ids) for index, ids in enumerate(prompts)], 1, (0,))
    done = list(made["engine"].sample(requests, SamplingParams(**sampling)))
    return sum(len(completion.token_ids) for completion in done), None, None


@torch.inference_mode()
def generate(work, adapter):
    """transformers' generate, prompts padded on the left, as many at once as ours has places, the next when all have ended."""
    shape, prompts, sampling, made = work
    batch = SLOTS[shape]
    _, chat = tokenizer_and_format()
    if not made:
        made["model"] = model_with(shape, adapter)
    model, number = made["model"], 0
    for start in range(0, len(prompts), batch):
        part = prompts[start : start + batch]
        longest = max(map(len, part))
        ids = torch.tensor([[0] * (longest - len(row)) + list(row) for row in part], device=model.device)
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in part], device=model.device)
        written = model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=True,
            top_k=0,
            pad_token_id=chat.end_id,
            eos_token_id=list(chat.stop_ids),
            **sampling,
        )[:, longest:]
        stops = torch.isin(written, torch.tensor(chat.stop_ids, device=model.device))
        number += int((stops.cumsum(dim=1) == 0).sum())
    return number, None, None


def vllm(work, adapter, runner=True, graphs=True, seeds=True):
    """The workflow's vLLM engine; an adapter is applied beside the weights.

    To see what each gains: without the workflow's choice of a model runner, without its CUDA graphs, without a seed for each reply.
    """
    from persona_leakage.inference import vllm_engine

    if not runner:
        vllm_engine.model_runner = lambda folder: None
    if not graphs:
        vllm_engine.vllm_start.compilation_arguments = lambda start, at_once: {}
    shape, prompts, sampling, made = work
    if not made:
        made["folder"] = tempfile.TemporaryDirectory()  # lives as long as the engine
        made["engine"], _ = make_vllm(shape, adapter, Path(os.environ.get(SHARED, made["folder"].name)))
    requests = make_requests([("persona", str(index), ids) for index, ids in enumerate(prompts)], 1, (0,))
    if not seeds:
        requests = [replace(request, seed=None) for request in requests]
    done = list(made["engine"].sample(requests, SamplingParams(**sampling)))
    return sum(len(completion.token_ids) for completion in done), None, None


def make_vllm(shape, adapter, folder):
    """(the workflow's vLLM engine, its adapter or None) of the shape, whose files are written under ``folder``."""
    from persona_leakage.inference.vllm_engine import VllmEngine
    from persona_leakage.models.saved_adapter import Adapter

    tokenizer, chat = tokenizer_and_format()
    model_folder, adapter_folder = write_folders(shape, adapter, folder)
    found = Adapter("bench/seed0", str(adapter_folder), sha256_of_file(adapter_folder / WEIGHTS)) if adapter else None
    longest = max(map(len, make_prompts(*REPLIES[shape][:2]))) + SAMPLING[shape]["max_new_tokens"]
    return VllmEngine(model_folder, tokenizer, chat.stop_ids, "bfloat16", pick_device(), longest, found), found


def write_folders(shape, adapter, folder):
    """(model folder, adapter folder or None) of the shape as an engine reads them, written under ``folder`` if they are not there."""
    folder = folder / f"{shape}-{SHARPER.get(shape, 1)}"  # the user's folder may hold another's
    model_folder = Path(bundled_manifest()["folder"]) if shape == BUNDLED else folder / "model"
    if not (folder / "adapter").exists():
        # In a process of its own, so that the engine finds an empty GPU whoever was the first.
        writer = get_context("spawn").Process(target=write_model, args=(shape, model_folder, folder / "adapter"))
        writer.start()
        writer.join()
        if writer.exitcode:
            raise SystemExit(f"{folder}: the model could not be written")
    return model_folder, folder / "adapter" if adapter else None


def write_model(shape, model_folder, adapter_folder):
    """Write the model, unless it is the bundled one, and then an adapter that does something."""
    model = sharp_model(shape)
    if shape != BUNDLED:
        model.save_pretrained(model_folder)
    save_adapter(attach_random_adapter(model), shape, adapter_folder)


def contenders(shape):
    """All that can run here, ours first for each kind of adapter."""
    found = {}
    for label, adapter in (("no adapter", None), ("merged adapter", "merged"), ("adapter beside", "beside")):
        found[f"ours, {label}"] = partial(ours, adapter=adapter)
        found[f"generate, batches of {SLOTS[shape]}, {label}"] = partial(generate, adapter=adapter)
    if importlib.util.find_spec("vllm") is not None:
        beside = partial(vllm, adapter="beside")
        found |= {"vLLM, no adapter": partial(vllm, adapter=None), "vLLM, adapter beside": beside}
        if pick_device() == "cuda":
            found["vLLM, its own graphs, adapter beside"] = partial(beside, graphs=False)
            found["vLLM as it comes, adapter beside"] = partial(beside, runner=False, graphs=False)
            found["vLLM as it comes, no seeds, adapter beside"] = partial(beside, runner=False, graphs=False, seeds=False)
    return found


if __name__ == "__main__":
    run_stage("sampling", "reply tokens", contenders, prepare, "ours, no adapter")
