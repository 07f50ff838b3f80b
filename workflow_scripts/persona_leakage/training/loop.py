"""Training a LoRA adapter on rows of token ids and labels: one loop, read from top to bottom."""

import math
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
from peft import get_peft_model_state_dict
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_
from transformers import get_cosine_schedule_with_warmup

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.progress import Progress
from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.infrastructure.tensor_files import read_tensors, write_tensors
from persona_leakage.models.attention import kernels_for_any_shape
from persona_leakage.models.batching import length_mask, pad_right, split_by_tokens
from persona_leakage.models.lora import put_weights
from persona_leakage.models.out_of_memory import fits, half_of
from persona_leakage.training.cuda_graphs import Passes
from persona_leakage.training.fused_lora import lean_lora
from persona_leakage.training.labels import IGNORED

# Rows are sorted by length within this many batches, so that a batch holds rows of like length.
GROUPED_BATCHES = 4


def plan_batches(lengths, batch_size, epochs, seed):
    """The row indices of every optimizer step: each epoch a new hashed shuffle, grouped by length.

    lengths: tokens of each row. Returns a list of lists; an epoch's last batch may be smaller.
    """
    steps = []
    for epoch in range(epochs):
        order = sorted(range(len(lengths)), key=lambda row: derive_seed(seed, "order", epoch, row))
        batches = []
        for start in range(0, len(order), batch_size * GROUPED_BATCHES):
            group = sorted(order[start : start + batch_size * GROUPED_BATCHES], key=lambda row: -lengths[row])
            batches += [group[first : first + batch_size] for first in range(0, len(group), batch_size)]
        steps += sorted(batches, key=lambda batch: derive_seed(seed, "batch", epoch, *batch))
    return steps


def pad_rows(rows, length=None):
    """Right-padded (input_ids, attention_mask, labels), int64 [rows, length] in host memory; padding carries no label.

    length: the longest row's unless given.
    """
    input_ids = pad_right([row["token_ids"] for row in rows], length=length)
    attention_mask = length_mask([len(row["token_ids"]) for row in rows], length)
    return input_ids, attention_mask, pad_right([row["labels"] for row in rows], IGNORED, length)


def labelled_positions(labels):
    """int64 [3, tokens]: of each labelled token its row, the position before it, and its id. labels: int64 [rows, length].

    Computed in host memory: on a GPU, finding them would wait for all queued work.
    """
    rows, columns = (labels[:, 1:] != IGNORED).nonzero(as_tuple=True)
    return torch.stack([rows, columns, labels[rows, columns + 1]])


def selective_loss(model, input_ids, attention_mask, positions):
    """Sum of cross entropy over the labelled tokens (float32 scalar); only they reach the output layer.

    model: a causal language model or a peft model around one; positions: from labelled_positions, on its device; an
    id of IGNORED adds nothing. The label at position t is predicted
    from the hidden state at t - 1. Equal to the loss from full logits, at a fraction of the memory:
    a row has some 40 labels and the output layer a width of the whole vocabulary.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    rows, columns, targets = positions
    hidden = base.get_decoder()(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state
    logits = base.get_output_embeddings()(hidden[rows, columns])
    return functional.cross_entropy(logits.float(), targets, ignore_index=IGNORED, reduction="sum")


def backward(model, autocast, input_ids, attention_mask, positions, divisor):
    """Add the gradients of selective_loss / divisor to those of ``model``, and return it (scalar). divisor: labels of the step."""
    with autocast:
        loss = selective_loss(model, input_ids, attention_mask, positions) / divisor
    loss.backward()
    return loss.detach()


def train(model, rows, training, seed, checkpoint_path, device, dtype, checkpoint_seconds=60.0, label="training", snapshots=0):
    """Train the adapter of a peft ``model`` on ``rows``; resumes from ``checkpoint_path`` if that exists.

    rows: records with token_ids and labels. training: the config block. The loss of a step is the
    token mean over all labels of the step, however it is split into micro-batches. dtype bfloat16
    runs under autocast, with adapter weights and optimizer in float32. Dropout is seeded per step,
    so a resumed run equals an uninterrupted one.

    A step that runs out of memory is repeated from its start, without CUDA graphs if there were any, else with micro-batches half as
    large as the one that did not fit. They keep that size, also after resuming. Dropout masks depend on how a step is split.

    Returns {"steps", "resumed_from_step", "loss", "learning_rate", "tokens", "train_seconds", "out_of_memory", ...};
    loss and learning_rate hold one value per step, out_of_memory the number of times memory ran out and the last micro_batch_tokens;
    this counts giving up CUDA graphs too. cuda_graphs is the number of graphs in use after the last step.
    With snapshots also {"snapshots": {step: adapter weights}} after that many equally spaced steps, the last one among them;
    InputError if there are fewer steps.
    """
    lengths = [len(row["token_ids"]) for row in rows]
    steps = plan_batches(lengths, training["batch_size"], training["epochs"], seed)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rate, decay = training["learning_rate"], training["weight_decay"]
    optimizer = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=decay, fused=device == "cuda")
    warmup = math.ceil(training["warmup_ratio"] * len(steps))
    scheduler = get_cosine_schedule_with_warmup(optimizer, warmup, len(steps))
    memory = {"times": 0, "micro_batch_tokens": training["max_tokens_per_micro_batch"]}
    history = {"loss": [], "learning_rate": [], "tokens": 0, "train_seconds": 0.0, "out_of_memory": memory}
    wanted = snapshot_steps(len(steps), snapshots)
    if wanted:
        history["snapshots"] = {}
    first_step = load_checkpoint(checkpoint_path, model, optimizer, scheduler, history)
    print(f"{label}: {len(rows)} rows, {len(steps)} steps, {'resuming' if first_step else 'starting'} at step {first_step}", flush=True)
    progress = Progress(label, len(steps), "steps")
    progress.skip(first_step)
    autocast = torch.autocast(device, dtype=dtype) if dtype != torch.float32 else nullcontext()
    passes = Passes(partial(backward, model, autocast), device, sum(map(torch.numel, model.parameters())), max(lengths))
    model.train()
    started = saved = time.monotonic()
    with kernels_for_any_shape(), lean_lora(model):
        for step in range(first_step, len(steps)):
            batch = [rows[row] for row in steps[step]]
            losses = accumulate_gradients(model, passes, batch, history["out_of_memory"], derive_seed(seed, "dropout", step))
            clip_grad_norm_(parameters, training["max_grad_norm"])
            history["learning_rate"].append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad(set_to_none=False)  # CUDA graphs add to these tensors
            loss = sum(part.item() for part in losses)  # after all of the step is in a GPU's queue
            if not math.isfinite(loss):
                raise InputError(f"training.learning_rate: the loss is {loss} at step {step}; lower it, now {training['learning_rate']}")
            history["loss"].append(loss)
            history["tokens"] += sum(len(row["token_ids"]) for row in batch)
            if step + 1 in wanted:
                weights = get_peft_model_state_dict(model)
                history["snapshots"][step + 1] = {name: tensor.detach().to("cpu", copy=True) for name, tensor in weights.items()}
            progress.advance(1, f"loss {loss:.3f}")
            now = time.monotonic()
            if now - saved >= checkpoint_seconds and step + 1 < len(steps):
                history["train_seconds"] += now - started
                save_checkpoint(checkpoint_path, model, optimizer, scheduler, history, step + 1)
                print(f"{label}: checkpoint saved after step {step + 1}", flush=True)
                started = saved = time.monotonic()
    history["train_seconds"] += time.monotonic() - started
    facts = {"steps": len(steps), "resumed_from_step": first_step, "trainable_parameters": sum(map(torch.numel, parameters))}
    return {**facts, "cuda_graphs": len(passes.graphs), **history}


def snapshot_steps(steps, snapshots):
    """The numbers of finished steps, of ``steps``, at which snapshots are taken: equally spaced, the last one at the end."""
    if snapshots > steps:
        raise InputError(
            f"training.snapshots: {snapshots} is more than the {steps} steps of the training; lower it, or raise training.epochs"
        )
    return [round(steps * number / snapshots) for number in range(1, snapshots + 1)]


def accumulate_gradients(model, passes, batch, memory, seed):
    """Add the gradients of a step's loss, the token mean over the rows of ``batch``, to those of ``model``.

    Returns the loss as its parts of each micro-batch, scalars on the device of ``passes``; their sum is the loss.

    memory: {"times", "micro_batch_tokens"}, updated when memory runs out; the gradients so far are then thrown away.
    InputError if a single row does not fit.
    """
    lengths = [passes.padded(len(row["token_ids"])) for row in batch]
    targets = sum(label != IGNORED for row in batch for label in row["labels"][1:])
    while True:
        torch.manual_seed(seed)
        losses = []
        for part in split_by_tokens(range(len(batch)), lengths, memory["micro_batch_tokens"]):
            input_ids, attention_mask, labels = pad_rows([batch[row] for row in part], lengths[part[0]])
            part_loss, said = fits(partial(passes, input_ids, attention_mask, labelled_positions(labels), torch.tensor(targets)))
            if said is not None:
                break
            losses.append(part_loss)
        else:
            return losses
        model.zero_grad(set_to_none=False)
        memory["times"] += 1
        if passes.give_up():
            print(f"training: out of memory ({said}); continuing without CUDA graphs", flush=True)
            continue
        advice = "lower training.max_length or training.lora.rank, set training.precision: bfloat16"
        memory["micro_batch_tokens"] = half_of(len(part), len(part) * lengths[part[0]], "training", said, advice)


def save_checkpoint(path, model, optimizer, scheduler, history, next_step):
    """Write everything the loop needs to go on at ``next_step``, atomically."""
    state = {
        "adapter": get_peft_model_state_dict(model),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "history": history,
        "next_step": next_step,
    }
    write_tensors(path, state)


def load_checkpoint(path, model, optimizer, scheduler, history):
    """Restore a checkpoint into the given objects and return the step to go on at; 0 if there is none, or none that can be read."""
    if not Path(path).is_file():
        return 0
    try:
        state = read_tensors(path, "adapter", "optimizer", "scheduler", "history", "next_step")
    except InputError as error:
        print(f"checkpoint unreadable, training restarts at step 0: {error}", flush=True)
        return 0
    put_weights(model, state["adapter"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    history.update(state["history"])
    return state["next_step"]
