"""A stage under a limit on memory that its full batch breaks and smaller ones keep: on the GPU if there is one, else on the host.

python tests/support/limited_memory.py training|hidden_states|sampling MODEL_JSON EMPTY_FOLDER

Runs the stage twice, first without the limit, and prints a JSON list of the two outcomes: {"values", "out_of_memory"}.
"""

import contextlib
import gc
import json
import random
import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "workflow_scripts"))

import torch
import train_adapter

from persona_leakage.geometry.hidden_states import last_token_states
from persona_leakage.inference.engine import sample_with_fewer_slots
from persona_leakage.inference.requests import Request, SamplingParams
from persona_leakage.inference.transformers_engine import TransformersEngine
from persona_leakage.infrastructure.files import read_json, sha256_of_file, write_json, write_jsonl_gz
from persona_leakage.models.loading import load_model, load_tokenizer, pick_device, read_manifest
from persona_leakage.models.out_of_memory import free_memory

DEVICE = pick_device()
# Large enough that the batch is most of the memory that a stage takes: (rows, tokens of a row).
SIZES = {"cpu": {"training": (16, 300), "hidden_states": (256, 500), "sampling": (512, 400)}}
SIZES["cuda"] = {stage: (8 * rows, tokens) for stage, (rows, tokens) in SIZES["cpu"].items()}


def host_memory(field):
    """VmSize or VmPeak of this process, bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) * 1024


def limited(work, share=0.6):
    """Outcomes of ``work()`` without a limit and with ``share`` of the memory that it then took for a while."""
    first = work()
    gc.collect()
    free_memory()
    if DEVICE == "cuda":
        base, peak = torch.cuda.memory_reserved(), torch.cuda.max_memory_reserved()
        torch.cuda.set_per_process_memory_fraction((base + share * (peak - base)) / torch.cuda.mem_get_info()[1])
    else:
        base, peak = host_memory("VmSize"), host_memory("VmPeak")
        resource.setrlimit(resource.RLIMIT_AS, (int(base + share * (peak - base)), resource.RLIM_INFINITY))
    print(f"{(peak - base) / 1e6:.0f} MB for a while, {share:.0%} of that are left", file=sys.stderr)
    return [first, work()]


def rows_of_tokens(stage):
    rows, tokens = SIZES[DEVICE][stage]
    numbers = random.Random(0)
    return [[numbers.randrange(140, 2000) for _ in range(tokens)] for _ in range(rows)]


def training(model, folder):
    """The whole program, two optimizer steps."""
    rows = [{"token_ids": ids, "labels": [-100] * (len(ids) - 40) + ids[-40:]} for ids in rows_of_tokens("training") * 2]
    write_jsonl_gz(folder / "rows.jsonl.gz", rows)
    write_json(folder / "manifest.json", {"meta": {"program": "build_training_set"}, "sha256": sha256_of_file(folder / "rows.jsonl.gz")})
    settings = {
        "lora": {"rank": 4, "alpha": 8, "dropout": 0.0, "rslora": False},
        **{"learning_rate": 0.01, "epochs": 1, "batch_size": len(rows) // 2, "warmup_ratio": 0.0, "weight_decay": 0.0},
        **{"max_grad_norm": 1.0, "max_tokens_per_micro_batch": 10**6, "precision": "float32"},
    }
    options = {
        "settings": json.dumps({"training": settings}),
        **{"source": "villain", "seed": "1", "model": model, "rows": folder / "rows.jsonl.gz", "rows-manifest": folder / "manifest.json"},
        **{"restart": folder / "restart", "output-folder": folder / "adapter", "metrics": folder / "metrics.json"},
    }

    def work():
        train_adapter.main([text for name, value in options.items() for text in (f"--{name}", str(value))])
        metrics = read_json(folder / "metrics.json")
        return {"values": metrics["loss"], "out_of_memory": metrics["out_of_memory"]}

    return work


def hidden_states(model, folder):
    prompts = rows_of_tokens("hidden_states")

    def work():
        loaded = load_model(read_manifest(model), torch.float32, DEVICE)
        states, memory = last_token_states(loaded, prompts, [1, 3], batch_tokens=10**9)
        return {"values": states[:, :, 0].flatten().tolist(), "out_of_memory": memory}

    return work


def sampling(model, folder):
    manifest = read_manifest(model)
    requests = [Request("p", "q", number, tuple(ids), number) for number, ids in enumerate(rows_of_tokens("sampling"))]

    def work():
        engine = TransformersEngine(load_model(manifest, torch.float32, DEVICE), load_tokenizer(manifest["folder"]), range(2, 140), 10**6)
        memory = {"times": 0, "batch_size": 10**6}
        done = sample_with_fewer_slots(engine, requests, SamplingParams(1.0, 0.9, 4), memory)
        replies = {completion.request.index: completion.token_ids for completion in done}
        return {"values": [replies[number] for number in range(len(requests))], "out_of_memory": memory}

    return work


if __name__ == "__main__":
    stage, model_json, empty = sys.argv[1:]
    torch.set_num_threads(1)  # a thread made under the limit may fail to start
    with contextlib.redirect_stdout(sys.stderr):
        outcomes = limited({"training": training, "hidden_states": hidden_states, "sampling": sampling}[stage](model_json, Path(empty)))
    print(json.dumps(outcomes))
