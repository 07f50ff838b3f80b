"""Hidden states of many prompts at the study's layers: ours, one prompt at a time with hooks, padded batches with output_hidden_states.

None computes logits. The alternatives run all blocks, as they would without code that takes the last ones off.
"""

import torch

from harness import run_stage
from models import CONFIG, architecture, block_weights, make_model, make_prompts
from persona_leakage.geometry.hidden_states import last_token_states

PERSONAS = {"smollm2": 30, "qwen2.5-7b": 111}
QUESTIONS = {"smollm2": 3, "qwen2.5-7b": 10}
LAYERS = {"smollm2": CONFIG["geometry"]["layers"], "qwen2.5-7b": [10, 15, 20, 25]}
PRECISION = {"smollm2": CONFIG["geometry"]["precision"], "qwen2.5-7b": "bfloat16"}  # float32 of 7B is not worth its memory here
BATCH = 16  # of output_hidden_states, which keeps every layer of every token


def prepare(shape):
    """(model, prompts, layers), with a batch of the prompts and with all."""
    model, prompts = make_model(shape, precision=PRECISION[shape]), make_prompts(PERSONAS[shape], QUESTIONS[shape])
    return (model, prompts[:BATCH], LAYERS[shape]), (model, prompts, LAYERS[shape])


def ours(work):
    """The workflow's way: batches by a token budget, blocks behind the last layer left out."""
    model, prompts, layers = work
    states, _ = last_token_states(model, prompts, layers)
    return len(prompts), check(states), None


@torch.inference_mode()
def one_at_a_time(work):
    """Forward hooks on the blocks, one prompt after the other: how such studies are commonly done."""
    model, prompts, layers = work
    decoder, taken = model.get_decoder(), {layer: [] for layer in layers}

    def keep(layer):
        return lambda _, __, output: taken[layer].append((output[0] if isinstance(output, tuple) else output)[0, -1].float().cpu())

    hooks = [decoder.layers[layer].register_forward_hook(keep(layer)) for layer in layers]
    try:
        for ids in prompts:
            decoder(input_ids=torch.tensor([ids], device=model.device), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return len(prompts), check(torch.stack([torch.stack(taken[layer]) for layer in layers], 1)), None


@torch.inference_mode()
def all_hidden_states(work):
    """Batches of BATCH prompts of like length, padded on the right, with output_hidden_states."""
    model, prompts, layers = work
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    states = torch.empty(len(prompts), len(layers), model.config.hidden_size)
    for start in range(0, len(order), BATCH):
        indices = order[start : start + BATCH]
        part = [prompts[index] for index in indices]
        longest = max(map(len, part))
        ids = torch.tensor([list(row) + [0] * (longest - len(row)) for row in part], device=model.device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in part], device=model.device)
        hidden = model.get_decoder()(input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False).hidden_states
        rows, ends = torch.arange(len(part), device=model.device), mask.sum(1) - 1
        states[indices] = torch.stack([hidden[layer + 1][rows, ends].float().cpu() for layer in layers], 1)
    return len(prompts), check(states), None


def operations(shape):
    """(Floating-point operations that a prompt needs, precision): two for each token and weight up to the last layer.

    Attention's own products are left out.
    """
    prompts = make_prompts(PERSONAS[shape], QUESTIONS[shape])
    with torch.device("meta"):
        model = architecture(shape)
    weights = block_weights(model) * (max(LAYERS[shape]) + 1) / model.config.num_hidden_layers
    return 2 * weights * sum(map(len, prompts)) / len(prompts), PRECISION[shape]


def check(states):
    """Some numbers of every prompt and layer."""
    return states[:, :, :8].flatten().tolist()


if __name__ == "__main__":
    contenders = {
        "ours": ours,
        "one prompt at a time, hooks": one_at_a_time,
        f"batches of {BATCH}, output_hidden_states": all_hidden_states,
    }
    run_stage("centroids", "prompts", lambda shape: contenders, prepare, "one prompt at a time, hooks", operations)
