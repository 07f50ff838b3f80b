"""A look at a model folder before anything is computed with it: can its model be loaded whole, adapted and sampled?

It takes seconds at any size: the architecture is built without memory (torch's meta device), and of the weights only the
files' headers are read.
"""

import json
from pathlib import Path

from persona_leakage.infrastructure.cli import InputError, named_in_errors
from persona_leakage.infrastructure.files import read_json
from persona_leakage.models.loading import check_all_loaded, quiet_transformers
from persona_leakage.models.model_files import ADAPTER_FILES

NUMBER_FORMATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
# Settings of models whose logits are not their output layer's: Granite, Cohere, Gemma 2.
SCALES = ("logits_scaling", "logit_scale", "final_logit_softcapping", "attn_logit_softcapping")


def probe_model(folder):
    """(config of the text model, rows of the embedding) of a model folder.

    InputError, in one line with the folder in front, if probe_architecture refuses it or if the architecture has other
    weights than the files.
    """
    model = probe_architecture(folder)
    check_all_loaded(folder, loading_report(Path(folder), model))
    return facts_of(model)


def facts_of(model):
    """(config of the text model, rows of the embedding)."""
    return model.config.get_text_config(), model.get_input_embeddings().num_embeddings


def probe_architecture(folder):
    """The model of a folder without its weights, which need not be there yet.

    InputError if the workflow could not use it, or only another one than the folder's: an adapter beside the weights,
    quantised weights, an architecture that transformers does not know as a causal language model, experts, recurrent blocks,
    scaled logits, attention that the workflow's own cannot stand in for.
    """
    folder = Path(folder)
    refuse_what_would_change_it(folder)
    with named_in_errors(folder), quiet_transformers():
        model = build_without_memory(folder)
    check_usable(folder, model)
    return model


def refuse_what_would_change_it(folder):
    """InputError if transformers would load the folder's model with an adapter, or out of quantised weights."""
    if beside := sorted(path.name for path in folder.glob(ADAPTER_FILES)):
        raise InputError(
            f"{folder}: holds an adapter beside the model ({', '.join(beside)}), which transformers would add to the base model;"
            " move these files out of the folder, or merge the adapter into the weights"
        )
    config = read_json(folder / "config.json")
    for block in (config, config.get("text_config") or {}):
        if not isinstance(block, dict):
            raise InputError(f"{folder}: text_config in config.json is {block!r}; it must be a JSON object")
        if block.get("return_dict") is False:
            raise InputError(f"{folder}: return_dict in config.json is false; it must be true, or left out")
        if found := block.get("quantization_config") or block.get("compression_config"):
            method = found.get("quant_method", "unknown method") if isinstance(found, dict) else found
            raise InputError(f"{folder}: the weights are quantised ({method}); use the model's unquantised weights")


def build_without_memory(folder):
    """The architecture of a folder's config.json, as transformers would load it, on the meta device; InputError for the wrong kind."""
    import torch
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if config.is_encoder_decoder or type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise InputError(f"{folder}: '{config.model_type}' is no causal language model that transformers can load; use an instruct model")
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def loading_report(folder, model):
    """What transformers says of loading the folder's weights into ``model``: {"missing_keys", "unexpected_keys", "mismatched_keys"}."""
    import torch

    weights = {}
    for name, entry in weight_headers(folder):
        if entry["dtype"] not in NUMBER_FORMATS and len(entry["shape"]) > 1 and min(entry["shape"]) > 1:
            raise InputError(f"{folder}: weights of the format {entry['dtype']} ({name}); use the model's unquantised weights")
        weights[name] = torch.empty(entry["shape"], dtype=getattr(torch, NUMBER_FORMATS.get(entry["dtype"], "uint8")), device="meta")
    with named_in_errors(folder), quiet_transformers():
        _, report = type(model).from_pretrained(
            None,
            config=model.config,
            state_dict=weights,
            device_map={"": "meta"},
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    return report


def weight_headers(folder):
    """[(name, {"dtype", "shape", ...})] of the tensors in the files that transformers would read; InputError if there are none."""
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if single.is_file():
        names = [single.name]
    elif index.is_file():
        names = sorted(set(read_json(index)["weight_map"].values()))
    else:
        found = ", ".join(sorted(path.name for path in folder.glob("*.safetensors")))
        raise InputError(f"{folder}: has {found}, but neither {single.name} nor {index.name}; save the model again with save_pretrained")
    return [(name, entry) for file in names for name, entry in header_of(folder / file).items() if name != "__metadata__"]


def header_of(path):
    """The header of a safetensors file, which check_weights_whole has found to be whole."""
    with path.open("rb") as content:
        return json.loads(content.read(int.from_bytes(content.read(8), "little")))


def check_usable(folder, model):
    """InputError unless the workflow's own training, sampling and geometry know what to do with the architecture."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    from persona_leakage.models.architecture import linear_layers

    config = model.config.get_text_config()
    try:
        linear_layers(model)
        others = {type(layer).__name__ for layer in DynamicCache(config=config).layers if not isinstance(layer, DynamicLayer)}
        if others:
            raise InputError(f"model: its blocks keep another state than attention's keys and values ({', '.join(sorted(others))})")
        check_attention(model)
        if scaled := [name for name in SCALES if getattr(config, name, None) not in (None, 0, 1)]:
            raise InputError(f"model: architecture '{config.model_type}' scales or caps its logits ({', '.join(scaled)})")
    except InputError as error:
        raise InputError(f"{folder}: not supported: {str(error).removeprefix('model: ')}") from None


def check_attention(model):
    """InputError unless every block computes with the attention that the workflow gives it: tried without memory, on shapes alone."""
    import torch

    from persona_leakage.models.attention import NAME, PROBE_TOKENS, counted_calls

    kind, blocks = model.config.get_text_config().model_type, model.config.get_text_config().num_hidden_layers
    ids, mask = (
        torch.ones(shape, dtype=dtype, device="meta") for shape, dtype in (((1, PROBE_TOKENS), torch.long), ((1,) * 4, torch.bool))
    )
    try:
        model.set_attn_implementation(NAME)
        with counted_calls() as calls, torch.no_grad():
            model.get_decoder()(input_ids=ids, attention_mask=mask, use_cache=False)
    except InputError:
        raise
    # Whatever a foreign architecture's code raises when it meets an attention that it was not written for.
    except (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        if "meta tensors" in str(error):  # angles that depend on the length (longrope) need numbers: the first job tries them
            return
        raise InputError(f"model: architecture '{kind}' does not take the workflow's attention ({' '.join(str(error).split())})") from error
    if len(calls) != blocks:
        raise InputError(f"model: {blocks - len(calls)} of the {blocks} blocks of architecture '{kind}' have attention of their own")
