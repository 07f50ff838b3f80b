"""Write a model with random weights and an adapter that changes its replies, for engine_start.py and the other benchmarks."""

import argparse
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from models import SHAPES, write_random_model
from persona_leakage.models.lora import save_adapter
from sampling import attach_random_adapter


def main():
    """Write FOLDER/model and FOLDER/adapter; FOLDER must be new."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shape", default="qwen2.5-1.5b", choices=list(SHAPES), help="(default: %(default)s)")
    parser.add_argument(
        "--tokenizer", required=True, type=Path, help="folder of a real model with a chat template; only its tokenizer is read"
    )
    args = parser.parse_args()
    write_random_model(args.shape, args.tokenizer, args.folder / "model")
    model = AutoModelForCausalLM.from_pretrained(args.folder / "model", dtype=torch.bfloat16)
    save_adapter(attach_random_adapter(model), args.shape, args.folder / "adapter")


if __name__ == "__main__":
    main()
