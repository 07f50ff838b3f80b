"""Hidden states of many prompts, of which those kept from an earlier run are not computed again."""

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from persona_leakage.errors import InputError
from persona_leakage.files import atomic_path, digest_of
from persona_leakage.hidden_states import BATCH_TOKENS, last_token_states
from persona_leakage.out_of_memory import add_up
from persona_leakage.restart_store import part_path, read_parts

SUFFIX = ".safetensors"


def states_of_all(load, prompts, layers, identity, store, chunk_size, measure=last_token_states):
    """(states, memory) of what ``measure`` (model, prompts, layers, batch tokens) gives for each of ``prompts``: float32 [prompts, ...].

    A prompt is a sequence of token ids, or whatever plain values ``measure`` takes for one.
    load(): the model; called once, if a prompt is missing. Each ``chunk_size`` prompts are kept in
    a folder of ``store`` under digests of their content, ``layers`` and ``identity`` (model, precision,
    versions, code, and what else decides the measure).
    """
    shared = digest_of([identity, layers])
    keys = [digest_of([shared, list(prompt)]) for prompt in prompts]
    folder = Path(store) / shared[:32]
    kept = read_parts(folder, SUFFIX, read_part, set(keys))
    missing = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in kept}
    if kept:
        print(f"hidden states: {len(kept)} of {len(set(keys))} prompts are kept from earlier, {len(missing)} to go", flush=True)
    model = load() if missing else None
    todo = list(missing)
    memory = {"times": 0, "batch_tokens": BATCH_TOKENS}
    for start in range(0, len(todo), chunk_size):
        part = todo[start : start + chunk_size]
        states, now = measure(model, [missing[key] for key in part], layers, memory["batch_tokens"])
        memory = add_up(memory, now)
        content = save({"states": states}, metadata={"keys": json.dumps(part), "sha256": digest_of_states(states)})
        with atomic_path(part_path(folder, part, SUFFIX)) as temporary:
            temporary.write_bytes(content)
        print(f"hidden states: {start + len(part)} of {len(todo)} new prompts are kept", flush=True)
        kept |= zip(part, states, strict=True)
    return torch.stack([kept[key] for key in keys]), memory


def read_part(path):
    """{key: states [layers, hidden]} of a part file; InputError if it is damaged."""
    try:
        with safe_open(path, framework="pt") as content:
            states, about = content.get_tensor("states"), content.metadata()
        if digest_of_states(states) != about["sha256"]:
            raise ValueError("another digest than it had when it was written")
        return dict(zip(json.loads(about["keys"]), states, strict=True))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not whole hidden states ({error})") from None


def digest_of_states(states):
    """SHA-256 of a float32 tensor's bytes: safetensors has no checksum of its own."""
    return hashlib.sha256(states.contiguous().numpy().tobytes()).hexdigest()
