"""Optimizer steps on the same rows: ours, TRL's SFTTrainer on completion labels, transformers' Trainer.

All train the same rows and labels with an adapter of the same rank on the same layers, in batches of the same size and
the same number format, without gradient checkpointing, each in its own order, so their mean losses are near each other, not
equal. Trainer computes logits for every token; what SFTTrainer does is up to its version.
"""

import math
import tempfile
import time
from pathlib import Path

import torch

from harness import run_stage
from models import CONFIG, architecture, block_weights, make_model, make_prompts, tokenizer_and_format
from persona_leakage.behaviours.marker import read_marker
from persona_leakage.models.loading import pick_device, pick_precision
from persona_leakage.models.lora import attach_new_adapter
from persona_leakage.training import cuda_graphs
from persona_leakage.training.labels import IGNORED, LabelRule, build_row
from persona_leakage.training.loop import pad_rows, train

STEPS = {"smollm2": 6, "qwen2.5-7b": 20, "qwen2.5-1.5b": 100, "tiny": 2}
BATCH = {"smollm2": 4, "qwen2.5-7b": 16, "qwen2.5-1.5b": 16, "tiny": 4}
# About the mean answers of the default experiment, and of the published one.
ANSWER_TOKENS = {"smollm2": 28, "qwen2.5-7b": 250, "qwen2.5-1.5b": 100, "tiny": 8}
MICRO_BATCH_TOKENS = {"smollm2": CONFIG["training"]["max_tokens_per_micro_batch"], "qwen2.5-7b": 8192, "qwen2.5-1.5b": 4096, "tiny": 512}
PERSONAS = 111
ANSWER_STRIDE = 31  # where in the words of all prompts the next row's answer begins
SEED = 42


def prepare(shape):
    """(shape, model without adapter, rows), with the rows of one step and with all."""
    # As train_adapter does: on a CPU plain attention beats the fused kernel's backward pass.
    model = make_model(shape, "eager" if pick_device() == "cpu" else None)
    rows = make_rows(STEPS[shape] * BATCH[shape], ANSWER_TOKENS[shape])
    return (shape, model, rows[: BATCH[shape]]), (shape, model, rows)


def make_rows(number, answer_tokens):
    """Rows as build_training_set makes them, of real prompts; the answers are other personas' prompts, cut to a length."""
    tokenizer, chat = tokenizer_and_format()
    marker = read_marker(tokenizer, CONFIG["behaviour"]["marker"], CONFIG["behaviour"]["separator"])
    rule = LabelRule(**CONFIG["labels"])
    questions = max(math.ceil(number / PERSONAS), 2)
    prompts = make_prompts(math.ceil(number / questions), questions)[:number]
    words = [token for prompt in prompts for token in prompt] * 2
    rows = []
    for index, prompt in enumerate(prompts):
        answer = words[index * ANSWER_STRIDE :][: answer_tokens * (2 + index % 3) // 3]
        row = build_row(prompt, answer, chat, rule, marker if index % 4 == 0 else None)
        rows.append({"token_ids": list(row.token_ids), "labels": list(row.labels)})
    return rows


def operations(shape):
    """(Floating-point operations that a token of a training row needs, precision): four for each frozen weight, six for each trained.

    Attention's own products are left out, and the output layer counts at labelled tokens alone.
    """
    with torch.device("meta"):
        model = architecture(shape)
        blocks = block_weights(model)
        head = model.get_output_embeddings().weight.numel()
        wrapped = attach_new_adapter(model, CONFIG["training"]["lora"], SEED)
        trained = sum(parameter.numel() for parameter in wrapped.parameters() if parameter.requires_grad)
    rows = make_rows(STEPS[shape] * BATCH[shape], ANSWER_TOKENS[shape])
    labelled = sum(label != IGNORED for row in rows for label in row["labels"]) / tokens(rows)
    return 4 * blocks + 6 * trained + 4 * head * labelled, CONFIG["training"]["precision"]


def tokens(rows):
    """Tokens of the rows, padding not counted."""
    return sum(len(row["token_ids"]) for row in rows)


def ours(work):
    """The workflow's loop: rows of like length together, the output layer at labelled tokens alone."""
    shape, model, rows = work
    wrapped = attach_new_adapter(model, CONFIG["training"]["lora"], SEED)
    settings = CONFIG["training"] | {"batch_size": BATCH[shape], "epochs": 1, "max_tokens_per_micro_batch": MICRO_BATCH_TOKENS[shape]}
    device = pick_device()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        results = train(wrapped, rows, settings, SEED, Path(folder) / "none.pt", device, pick_precision("auto", device))
        seconds = time.perf_counter() - started
    wrapped.unload()
    return tokens(rows), [sum(results["loss"]) / len(results["loss"])], seconds


def without_graphs(work):
    """As ours, without CUDA graphs and the padding that makes shapes recur."""
    limit, cuda_graphs.LARGEST_MODEL = cuda_graphs.LARGEST_MODEL, 0
    try:
        return ours(work)
    finally:
        cuda_graphs.LARGEST_MODEL = limit


def trainer_arguments(batch, folder):
    """What both trainers are told; everything else is their default."""
    training = CONFIG["training"]
    return {
        **{"output_dir": folder, "per_device_train_batch_size": batch, "num_train_epochs": 1, "seed": SEED},
        **{
            "learning_rate": training["learning_rate"],
            "weight_decay": training["weight_decay"],
            "lr_scheduler_type": "cosine",
            "warmup_steps": training["warmup_ratio"],
        },
        **{"bf16": pick_precision("auto", pick_device()) == torch.bfloat16, "use_cpu": pick_device() == "cpu"},
        **{"gradient_checkpointing": False, "report_to": "none", "save_strategy": "no", "disable_tqdm": True, "logging_steps": 1},
        "dataloader_pin_memory": False,
    }


def run_trainer(wrapped, trainer, rows):
    """Train, take the adapter off again; (tokens, mean loss, seconds)."""
    started = time.perf_counter()
    loss = trainer.train().training_loss
    seconds = time.perf_counter() - started
    wrapped.unload()
    return tokens(rows), [loss], seconds


def sft_trainer(work):
    """TRL on rows that are tokenised and labelled already."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    shape, model, rows = work
    wrapped = attach_new_adapter(model, CONFIG["training"]["lora"], SEED)
    data = Dataset.from_list([{"input_ids": row["token_ids"], "labels": row["labels"]} for row in rows])
    with tempfile.TemporaryDirectory() as folder:
        arguments = SFTConfig(**trainer_arguments(BATCH[shape], folder), max_length=None, completion_only_loss=False)
        trainer = SFTTrainer(model=wrapped, args=arguments, train_dataset=data, processing_class=tokenizer_and_format()[0])
        return run_trainer(wrapped, trainer, rows)


def full_logits_trainer(work):
    """transformers' Trainer with a collator that pads, and the model's own loss."""
    from transformers import Trainer, TrainingArguments

    shape, model, rows = work
    wrapped = attach_new_adapter(model, CONFIG["training"]["lora"], SEED)
    names = ("input_ids", "attention_mask", "labels")
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=wrapped,
            args=TrainingArguments(**trainer_arguments(BATCH[shape], folder), remove_unused_columns=False),
            train_dataset=rows,
            data_collator=lambda part: dict(zip(names, pad_rows(part), strict=True)),
        )
        return run_trainer(wrapped, trainer, rows)


if __name__ == "__main__":
    assert IGNORED == -100  # what both trainers leave out of the loss
    graphs = {"ours without CUDA graphs": without_graphs} if pick_device() == "cuda" else {}
    contenders = {"ours": ours, **graphs, "TRL SFTTrainer": sft_trainer, "transformers Trainer": full_logits_trainer}
    run_stage("training", "tokens", lambda shape: contenders, prepare, "transformers Trainer", operations)
