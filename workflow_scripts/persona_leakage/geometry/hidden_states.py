"""Hidden states at chosen tokens of many prompts, in one pass over the blocks that are needed."""

import json
from contextlib import contextmanager

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from persona_leakage.config.layers import FIRST_REPLY, LAST_PROMPT, MEAN_SYSTEM, check_layers
from persona_leakage.inference.batched_forward import BATCH_TOKENS, Stage, in_chunks, prefill
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import atomic_path, digest_of, write_json
from persona_leakage.infrastructure.provenance import LAYER_CONVENTION, describe_run
from persona_leakage.infrastructure.resume import PartFormat, compute_missing
from persona_leakage.models.architecture import blocks_name
from persona_leakage.models.attention import output_logits, use_causal_attention
from persona_leakage.models.loading import model_facts

STAGE = Stage("hidden states", "prompts", "set geometry.precision: bfloat16", "questions.file")


def last_token_states(model, prompts, layers, batch_tokens=BATCH_TOKENS):
    """(states, memory): as span_states at each prompt's last token, float32 [prompts, layers, hidden]."""
    states, memory = span_states(model, prompts, [[(len(ids) - 1, len(ids))] for ids in prompts], layers, batch_tokens)
    return states[:, 0], memory


def position_states(model, prompts, layers, batch_tokens, positions):
    """(states, memory): as span_states at each of ``positions``, float32 [prompts, positions, layers, hidden].

    prompts: [(token ids, first, end)], the persona's own words from token ``first`` to before ``end``; InputError for mean_system_turn
    without such words. first_reply_token: the token that the model finds likeliest after the prompt, an end of turn included.
    """
    sequences = [list(ids) for ids, _, _ in prompts]
    if MEAN_SYSTEM in positions and any(first == end for _, first, end in prompts):
        raise InputError(f"geometry.positions: {MEAN_SYSTEM} needs a system text in every prompt")
    where = {
        LAST_PROMPT: [(len(ids) - 1, len(ids)) for ids in sequences],
        MEAN_SYSTEM: [(first, end) for _, first, end in prompts],
        FIRST_REPLY: [(len(ids), len(ids) + 1) for ids in sequences],
    }
    if FIRST_REPLY in positions:
        sequences = [[*ids, token] for ids, token in zip(sequences, first_tokens(model, sequences, batch_tokens), strict=True)]
    spans = list(zip(*(where[position] for position in positions), strict=True))
    return span_states(model, sequences, spans, layers, batch_tokens)


def persona_means(model, personas, layers, batch_tokens, positions):
    """(means over each persona's prompts of position_states(), memory): float32 [personas, positions, layers, hidden].

    personas: for each as many prompts as for the others.
    """
    states, memory = position_states(model, [prompt for prompts in personas for prompt in prompts], layers, batch_tokens, positions)
    return states.unflatten(0, (len(personas), -1)).double().mean(dim=1).float(), memory


@torch.inference_mode()
def span_states(model, sequences, spans, layers, batch_tokens=BATCH_TOKENS):
    """(states, memory): outputs of the 0-based blocks ``layers``, averaged over tokens, float32 [sequences, spans of each, layers, hidden].

    sequences: lists of token ids; spans: for each equally many (first, end), the tokens from first to before end. Block L's output
    is transformers' hidden_states[L+1] before any final norm. Neither later blocks nor the output layer run. States do not depend
    on batches; memory: see prefill. InputError if a layer is not a block of the model, or a sequence is too long.
    """
    decoder = model.get_decoder()
    check_layers(layers, len(getattr(decoder, blocks_name(decoder))))
    use_causal_attention(model)  # before the hooks, which would see its probe
    states = torch.empty(len(sequences), len(spans[0]), len(layers), decoder.config.hidden_size)
    wanted = []
    with blocks_up_to(decoder, max(layers)) as blocks, span_means(blocks, layers, wanted) as caught:

        def take(batch, forward):
            wanted[:] = [spans[index] for index in batch]
            forward()
            states[batch] = torch.stack([caught[layer] for layer in layers], 2)

        memory = prefill(model, sequences, take, batch_tokens, STAGE)
    if not states.isfinite().all():
        raise InputError(
            "model: hidden states of some prompts are not finite (NaN or infinite); copy the model again,"
            " or set geometry.precision: float32"
        )
    return states, memory


@torch.inference_mode()
def first_tokens(model, prompts, batch_tokens=BATCH_TOKENS):
    """The likeliest token after each prompt, by ``model``: a list of token ids."""
    found = [None] * len(prompts)

    def take(batch, forward):
        hidden = forward()
        ends = torch.tensor([len(prompts[index]) - 1 for index in batch], device=hidden.device)
        logits = output_logits(model.get_output_embeddings(), hidden[torch.arange(len(batch), device=hidden.device), ends])
        for index, token in zip(batch, logits.argmax(-1).tolist(), strict=True):
            found[index] = token

    prefill(model, prompts, take, batch_tokens, STAGE)
    return found


@contextmanager
def blocks_up_to(decoder, last):
    """A decoder without the blocks after ``last``, as long as the context lasts; gives the blocks."""
    name = blocks_name(decoder)
    whole = getattr(decoder, name)
    setattr(decoder, name, whole[: last + 1])
    try:
        yield whole
    finally:
        setattr(decoder, name, whole)


@contextmanager
def span_means(blocks, layers, wanted):
    """{layer: means over spans of that block's output in the newest forward pass, float32 [rows, spans, hidden]}, while the context lasts.

    wanted: the spans [(first, end)] of each row of that pass, set before it. Whole outputs are not kept.
    """
    caught = {}

    def keep(layer):
        def hook(module, inputs, output):
            hidden = output[0] if isinstance(output, tuple) else output
            means = [torch.stack([hidden[row, first:end].float().mean(0) for first, end in spans]) for row, spans in enumerate(wanted)]
            caught[layer] = torch.stack(means).cpu()

        return hook

    hooks = [blocks[layer].register_forward_hook(keep(layer)) for layer in layers]
    try:
        yield caught
    finally:
        for hook in hooks:
            hook.remove()


def states_of_all(load, prompts, layers, identity, store, chunk_size, measure=last_token_states):
    """(states, memory) of what ``measure`` (model, prompts, layers, batch tokens) gives for each of ``prompts``: float32 [prompts, ...].

    A prompt is plain values, as ``measure`` takes it. load(): the model; called once, if a prompt is missing. Each ``chunk_size``
    prompts are kept in a folder of ``store`` under digests of their content, ``layers`` and ``identity`` (what else decides).
    """
    shared = digest_of([identity, layers])
    keys = [digest_of([shared, list(prompt)]) for prompt in prompts]
    memory = {"times": 0, "batch_tokens": BATCH_TOKENS}
    compute = in_chunks(load, lambda model, chunk, batch_tokens: measure(model, chunk, layers, batch_tokens), memory, chunk_size)
    items = dict(zip(keys, prompts, strict=True))
    kept = compute_missing(items, shared, store, compute, chunk_size, "hidden states", "prompts", STATES)
    return torch.stack([kept[key] for key in keys]), memory


def write_part(path, part):
    """Write {key: states [layers, hidden]} as a part file."""
    states = torch.stack(list(part.values()))
    content = save({"states": states}, metadata={"keys": json.dumps(list(part))})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def read_part(path):
    """{key: states [layers, hidden]} of a part file; InputError if it is damaged."""
    try:
        with safe_open(path, framework="pt") as content:
            return dict(zip(json.loads(content.metadata()["keys"]), content.get_tensor("states"), strict=True))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not whole hidden states ({error})") from None


def write_meta(path, program, digests, manifest, names, dtype, memory, **facts):
    """Write the JSON file of centroids of the personas ``names``: what they are of, and ``digests`` {file: SHA-256}."""
    meta = describe_run(
        program,
        model=model_facts(manifest),
        **facts,
        layer_convention=LAYER_CONVENTION,
        precision=str(dtype).removeprefix("torch."),
        out_of_memory=memory,
        bank={"personas": len(names), "digest": digest_of(sorted(names))},
    )
    write_json(path, {"meta": meta, "sha256": digests})


STATES = PartFormat(".safetensors", read_part, write_part)
