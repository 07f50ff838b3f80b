"""What the benchmarks run on: the bundled small model, or a larger one's shape with random weights; and the project's own prompts."""

import os
import shutil
import statistics
import time
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, Qwen2Config

from harness import ROOT
from persona_leakage.behaviours.preflight import fetch_readable_model
from persona_leakage.config.personas import read_personas, read_question_sets, read_yaml
from persona_leakage.models.chat_template import prompt_ids, read_chat_format
from persona_leakage.models.loading import load_chat_format, load_model, load_tokenizer, pick_device, pick_precision, read_manifest

CONFIG = read_yaml(ROOT / "config.yaml")
BUNDLED = "smollm2"
TOKENIZER = "BENCHMARK_TOKENIZER"  # a model folder, where the bundled model is not installed
# From the config.json of Qwen2.5-7B-Instruct and -1.5B-Instruct: speed and memory depend on these numbers, not on the weights.
SHAPES = {
    "qwen2.5-7b": {
        **{"vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28},
        **{"num_attention_heads": 28, "num_key_value_heads": 4, "rope_theta": 1e6, "tie_word_embeddings": False},
    },
    "qwen2.5-1.5b": {
        **{"vocab_size": 151936, "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28},
        **{"num_attention_heads": 12, "num_key_value_heads": 2, "rope_theta": 1e6, "tie_word_embeddings": True},
    },
    "tiny": {  # for trying the benchmarks
        **{"vocab_size": 151936, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4},
        **{"num_attention_heads": 4, "num_key_value_heads": 2, "rope_theta": 1e6, "tie_word_embeddings": True},
    },
}
# Logits with a standard deviation of 4.8, as a trained model's, not random weights' 1.2 or 0.8: with those, top_p's 95 % are most of
# the vocabulary. The output layer of the shape is multiplied by this.
SHARPER = {"qwen2.5-7b": 4, "qwen2.5-1.5b": 6, "tiny": 40}
# What a model folder needs besides config and weights.
TOKENIZER_FILES = ("tokenizer*", "vocab.json", "merges.txt", "special_tokens_map.json", "chat_template.jinja", "added_tokens.json")


def bundled_manifest():
    """The manifest of the default model, fetched where the workflow keeps it."""
    path = ROOT / "resources/models" / CONFIG["model"]["name"] / "model.json"
    if not path.is_file():
        fetch_readable_model(CONFIG["model"], path)
    return read_manifest(path)


def tokenizer_and_format():
    """(tokenizer, chat format) of the bundled model, or of the model folder that TOKENIZER names; other shapes read the same token ids."""
    if folder := os.environ.get(TOKENIZER):
        tokenizer = load_tokenizer(folder)
        return tokenizer, read_chat_format(tokenizer, folder)
    manifest = bundled_manifest()
    return load_tokenizer(manifest["folder"]), load_chat_format(manifest)


def make_model(shape, attention=None, precision="auto"):
    """A model of the shape, ready to run, where the workflow would run it; precision: as in the config."""
    device = pick_device()
    dtype = pick_precision(precision, device)
    if shape == BUNDLED:
        return load_model(bundled_manifest(), dtype, device, attention=attention)
    torch.manual_seed(0)
    with torch.device(device):
        model = architecture(shape, dtype)
    return model.eval().requires_grad_(False)


def architecture(shape, dtype=torch.float32):
    """A model of the shape with random weights, where ``with torch.device`` says."""
    config = AutoConfig.from_pretrained(bundled_manifest()["folder"]) if shape == BUNDLED else Qwen2Config(**SHAPES[shape])
    return AutoModelForCausalLM.from_config(config, dtype=dtype)


def sharpen(model, shape):
    """``model`` with logits as uneven as a trained model's if its weights are random."""
    if shape != BUNDLED:
        model.get_output_embeddings().weight.data *= SHARPER[shape]
    return model


def write_random_model(shape, tokenizer_folder, folder):
    """A whole model folder of the shape: random weights in bfloat16 with uneven logits, a real tokenizer, and the ids that end a turn."""
    folder, source = Path(folder), Path(tokenizer_folder)
    folder.mkdir(parents=True)
    for path in {path for pattern in TOKENIZER_FILES for path in source.glob(pattern)}:
        shutil.copy2(path, folder)
    torch.manual_seed(0)
    with torch.device(pick_device()):
        model = sharpen(architecture(shape, torch.bfloat16), shape)
    tokenizer = load_tokenizer(source)
    model.config.eos_token_id, model.config.bos_token_id = tokenizer.eos_token_id, tokenizer.bos_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)


def block_weights(model):
    """Weights of the linear layers in a model's blocks."""
    return sum(module.weight.numel() for module in model.get_decoder().modules() if isinstance(module, torch.nn.Linear))


def matrix_peak(precision):
    """Floating-point operations a second of a large matrix product in a number format of the config, the median of ten."""
    device = pick_device()
    size, wait = (8192, torch.cuda.synchronize) if device == "cuda" else (2048, lambda: None)
    left, right = (torch.randn(size, size, device=device, dtype=pick_precision(precision, device)) for _ in range(2))
    seconds = []
    for _ in range(13):
        wait()
        started = time.perf_counter()
        left @ right
        wait()
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / statistics.median(seconds[3:])


def make_prompts(personas, questions):
    """Token ids of the first ``personas`` personas with the first ``questions`` evaluation questions, persona by persona."""
    tokenizer, _ = tokenizer_and_format()
    chosen = list(read_personas(ROOT / CONFIG["personas"]["file"]).values())[:personas]
    asked = read_question_sets(ROOT / CONFIG["questions"]["file"])["evaluation"][:questions]
    return [prompt_ids(tokenizer, persona.prompt, question + CONFIG["questions"]["suffix"]) for persona in chosen for question in asked]
