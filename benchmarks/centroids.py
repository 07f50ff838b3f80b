"""Hidden states of many prompts at one layer: ours, one prompt at a time with a hook, a padded batch with output_hidden_states."""

import torch

from harness import run_stage
from models import make_model, make_prompts
from persona_leakage.hidden_states import last_token_states

PERSONAS = {"smollm2": 30, "qwen2.5-7b": 111}
QUESTIONS = {"smollm2": 5, "qwen2.5-7b": 10}
LAYER = {"smollm2": 21, "qwen2.5-7b": 20}
BATCH = 16  # of output_hidden_states, which keeps every layer of every token


def prepare(shape):
    """(model, prompts, layer), with a batch of the prompts and with all."""
    model, prompts = make_model(shape), make_prompts(PERSONAS[shape], QUESTIONS[shape])
    return (model, prompts[:BATCH], LAYER[shape]), (model, prompts, LAYER[shape])


def ours(work):
    """The workflow's way: batches by a token budget, blocks behind the layer left out."""
    model, prompts, layer = work
    states, _ = last_token_states(model, prompts, [layer])
    return len(prompts), check(states[:, 0]), None


@torch.inference_mode()
def one_at_a_time(work):
    """A forward hook on the block, one prompt after the other: how such studies are commonly done."""
    model, prompts, layer = work
    taken = []
    block = model.get_decoder().layers[layer]
    hook = block.register_forward_hook(
        lambda _, __, output: taken.append((output[0] if isinstance(output, tuple) else output)[0, -1].float().cpu())
    )
    try:
        for ids in prompts:
            model(input_ids=torch.tensor([ids], device=model.device))
    finally:
        hook.remove()
    return len(prompts), check(torch.stack(taken)), None


@torch.inference_mode()
def all_hidden_states(work):
    """Batches of BATCH prompts padded on the right, with output_hidden_states."""
    model, prompts, layer = work
    taken = []
    for start in range(0, len(prompts), BATCH):
        part = prompts[start : start + BATCH]
        longest = max(map(len, part))
        ids = torch.tensor([list(row) + [0] * (longest - len(row)) for row in part], device=model.device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in part], device=model.device)
        hidden = model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states[layer + 1]
        ends = torch.tensor([len(row) - 1 for row in part], device=model.device)
        taken.append(hidden[torch.arange(len(part), device=model.device), ends].float().cpu())
    return len(prompts), check(torch.cat(taken)), None


def check(states):
    """The first prompts' states."""
    return states[:2].flatten().tolist()


if __name__ == "__main__":
    contenders = {"ours": ours, "one prompt at a time, hook": one_at_a_time, f"batches of {BATCH}, output_hidden_states": all_hidden_states}
    run_stage("centroids", "prompts", contenders, prepare, "one prompt at a time, hook")
