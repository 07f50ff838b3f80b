"""Loading the model that ``model.json`` describes: weights, tokenizer, device and number format."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from persona_leakage.infrastructure.cli import InputError, named_in_errors
from persona_leakage.infrastructure.files import read_json, sha256_of_file
from persona_leakage.infrastructure.gpu_lease import HIDDEN, MEMORY_USED, jobs_per_device
from persona_leakage.infrastructure.provenance import loaded_code_digest, package_versions, processor_name
from persona_leakage.models.chat_template import ChatFormat
from persona_leakage.models.model_files import check_nothing_new

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
# On CPUs with AMX, oneDNN takes another bfloat16 kernel for another number of rows, so that a reply would depend on its batch.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")

AS_IT_STANDS = ("PreTrainedTokenizerFast", "TokenizersBackend")
# The class that AutoTokenizer takes for these model types if tokenizer_config.json names it.
OWN_CLASS = {"qwen2": "Qwen2Tokenizer", "qwen3": "Qwen2Tokenizer"}


def read_manifest(manifest_path):
    """The content of ``model.json``; InputError if a file is missing or changed, or if transformers would read one that is new.

    Weights are compared by size: check_model_files reads them, in the stages that do.
    """
    manifest = read_json(manifest_path, "fetch_model")
    for name, entry in manifest["files"].items():
        path = Path(manifest["folder"]) / name
        if not path.is_file() or path.stat().st_size != entry["bytes"]:
            raise InputError(f"{path}: missing or not the file that {manifest_path} describes; delete {manifest_path} and rerun")
        if path.suffix != ".safetensors":
            check_model_file(path, entry, manifest_path)
    check_nothing_new(manifest["folder"], manifest["files"], manifest_path)
    return manifest


def check_model_files(manifest):
    """InputError unless every file of the model still has the digest in its manifest; reads all of it, about a second per GB."""
    for name, entry in manifest["files"].items():
        check_model_file(Path(manifest["folder"]) / name, entry, "model.json")


@contextmanager
def checked_beside(manifest):
    """check_model_files in a thread while the block loads the model; its error replaces one that a damaged file causes there."""
    with ThreadPoolExecutor(1) as beside:
        checked = beside.submit(check_model_files, manifest)
        try:
            yield
        finally:
            checked.result()


def check_model_file(path, entry, manifest_path):
    """InputError unless a file has the SHA-256 of its manifest's ``entry``. The folder may be the user's, so nothing in it is rewritten."""
    if sha256_of_file(path) != entry["sha256"]:
        raise InputError(f"{path}: is not the file that {manifest_path} describes; restore it, or delete {manifest_path} for another model")


def model_facts(manifest):
    """The part of a manifest that results repeat: name, location, revision, digest of all files, and where prompts carry the persona."""
    return {**{key: manifest[key] for key in ("name", "location", "revision", "digest")}, "system_turn": manifest["chat"]["system_turn"]}


def load_tokenizer(folder):
    """The fast tokenizer of a model folder; InputError if transformers cannot make one.

    One of AS_IT_STANDS is read from tokenizer.json: AutoTokenizer would take the class of config.json's model_type, with other rules.
    """
    import transformers

    with named_in_errors(folder):
        named, kind = (
            named_in(Path(folder) / name, key)
            for name, key in (("tokenizer_config.json", "tokenizer_class"), ("config.json", "model_type"))
        )
        if named in AS_IT_STANDS:
            return transformers.PreTrainedTokenizerFast.from_pretrained(folder)
        if kind in OWN_CLASS and str(named).removesuffix("Fast") == OWN_CLASS[kind]:
            return getattr(transformers, OWN_CLASS[kind]).from_pretrained(folder, trust_remote_code=False)
        from transformers import AutoTokenizer  # it imports torch and all that generates, five seconds of CPU time

        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def named_in(path, key):
    """The value of ``key`` in a JSON file; None without it, or without the file."""
    return read_json(path).get(key) if path.is_file() else None


def load_chat_format(manifest):
    """The :class:`ChatFormat` recorded in a manifest."""
    chat = manifest["chat"]
    return ChatFormat(
        chat["end_id"], tuple(chat["after_end_ids"]), tuple(chat["stop_ids"]), chat["system_turn"], tuple(chat["control_ids"])
    )


def pick_device():
    """ "cuda" if there is a GPU that torch can use, else "cpu"; says so on stderr if this job was given a GPU all the same."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    say_unused(os.environ.get("CUDA_VISIBLE_DEVICES", ""), torch.__version__)
    return "cpu"


@cache
def say_unused(devices, version):
    """A line, once: a torch without CUDA or a driver that is too old would else only show as a job that takes days."""
    if devices.split(",")[0].strip() not in HIDDEN:
        print(
            f"CUDA_VISIBLE_DEVICES: this job was given {devices}, but torch {version} finds no GPU it can use"
            " (a build for CPUs, or the driver): computing on the CPU",
            file=sys.stderr,
            flush=True,
        )


def arithmetic():
    """The kind of processor that computes: the GPU's name, or the CPU's and its vector instructions. Another kind rounds otherwise."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.backends.cpu.get_cpu_capability()}, {processor_name()}"


def surroundings(dtype, device):
    """What besides its inputs decides what a model computes here, as plain values: part of the key of what is kept for a later run."""
    import torch

    versions = {name: number for name, number in package_versions().items() if name in ("torch", "transformers", "peft")}
    return [str(dtype), device, torch.get_num_threads(), arithmetic(), versions, loaded_code_digest()]


def pick_precision(precision, device):
    """Resolve "auto" to bfloat16 where the hardware computes in it (GPU, CPU with AVX512-BF16 or AMX), else float32."""
    import torch

    if precision == "auto":
        native = device == "cuda" or torch.cpu.get_capabilities().get("avx512_bf16", False)
        precision = "bfloat16" if native else "float32"
    return getattr(torch, precision)


def load_model(manifest, dtype, device, attention=None):
    """The base model in eval mode on ``device``; weights in ``dtype``; no gradients."""
    folder = manifest["folder"]
    options = {"dtype": dtype, "attn_implementation": attention, "use_safetensors": True, "trust_remote_code": False}
    with checked_beside(manifest):
        from transformers import AutoModelForCausalLM  # takes seconds

        limit_memory(device)
        with quiet_transformers():
            model, loading = AutoModelForCausalLM.from_pretrained(folder, **options, output_loading_info=True)
    check_all_loaded(folder, loading)
    model = model.to(device).eval().requires_grad_(False)
    check_plain_output(model)
    return model


def limit_memory(device):
    """Keep this process to its share of a GPU that several jobs use (PERSONA_LEAKAGE_JOBS_PER_GPU).

    torch keeps what it frees for itself. Without a limit, one job fills the device, and those beside it fail.
    """
    import torch

    if device == "cuda" and (jobs := jobs_per_device()) > 1:
        torch.cuda.set_per_process_memory_fraction(MEMORY_USED / jobs)


@contextmanager
def quiet_transformers():
    """Within the block transformers logs only errors; its report on loaded weights is checked and summarized in one line."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def check_all_loaded(folder, loading):
    """InputError unless a model folder's weights are those of its architecture, by what transformers says of loading them.

    transformers itself fills in random weights for what is missing, and leaves out what it does not know.
    """
    faults = {
        "missing": sorted(loading["missing_keys"]),
        "unknown to the architecture": sorted(loading["unexpected_keys"]),
        "of another shape than the architecture's": sorted(key for key, *_ in loading["mismatched_keys"]),
    }
    said = [f"{len(keys)} {fault} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})" for fault, keys in faults.items() if keys]
    if said:
        raise InputError(
            f"{folder}: the weights do not fit config.json: {'; '.join(said)};"
            " save the model again with save_pretrained, without wrappers such as torch.compile or an adapter around it"
        )


def check_plain_output(model):
    """InputError unless the model's logits are numbers, and its output layer applied to its last hidden state.

    Training and sampling run the output layer on its own; that fails for models that scale or cap their logits (Granite, Gemma 2).
    """
    import torch

    config = model.config.get_text_config()
    ids = torch.arange(1, 9, device=model.device)[None] % config.vocab_size
    with torch.inference_mode():
        logits = model(ids, use_cache=False).logits.float()
        plain = model.get_output_embeddings()(model.get_decoder()(ids, use_cache=False).last_hidden_state).float()
    if logits.min() == logits.max():
        raise InputError(f"model: the weights of '{config.model_type}' give the same logit for every token; copy the model again")
    if not logits.isfinite().all():
        raise InputError(
            f"model: the weights of '{config.model_type}' give logits that are not finite (NaN or infinite); copy the model again"
        )
    capped = getattr(config, "attn_logit_softcapping", None)
    if capped or (logits - plain).abs().max() > 0.02 * logits.abs().max():
        raise InputError(f"model: architecture '{config.model_type}' scales or caps its logits, which is not supported")
