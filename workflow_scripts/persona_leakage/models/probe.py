"""Checks of a model folder before anything is computed with it: can its model be loaded whole, adapted and sampled?

It takes seconds at any size: the architecture is built on torch's meta device, and of weights only the headers are read.
"""

from pathlib import Path

from persona_leakage.infrastructure.cli import InputError, named_in_errors
from persona_leakage.infrastructure.files import read_json
from persona_leakage.models.loading import check_all_loaded, quiet_transformers
from persona_leakage.models.model_files import ADAPTER_FILES, weight_headers

NUMBER_FORMATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
# Settings of models whose logits are not their output layer's: Granite, Cohere, Gemma 2.
SCALES = ("logits_scaling", "logit_scale", "final_logit_softcapping", "attn_logit_softcapping")


def probe_model(folder):
    """(config of the text model, rows of the embedding) of a model folder.

    InputError, in one line with the folder in front, as probe_architecture, or if the files have other weights than the architecture.
    """
    model = probe_architecture(folder)
    check_all_loaded(folder, loading_report(Path(folder), model))
    return facts_of(model)


def facts_of(model):
    """(config of the text model, rows of the embedding)."""
    return model.config.get_text_config(), model.get_input_embeddings().num_embeddings


def probe_architecture(folder):
    """The model of a folder without its weights, which need not be there yet.

    InputError if the workflow could not use it, or only another one than the folder's: an adapter next to the weights,
    quantised weights, an architecture that transformers does not know as a causal language model, experts, recurrent blocks
    or scaled logits.
    """
    folder = Path(folder)
    refuse_what_would_change_it(folder)
    with named_in_errors(folder), quiet_transformers():
        model = build_without_memory(folder)
    check_usable(folder, model)
    return model


def refuse_what_would_change_it(folder):
    """InputError if transformers would load the folder's model with an adapter, or from quantised weights."""
    if beside := sorted(path.name for path in folder.glob(ADAPTER_FILES)):
        raise InputError(
            f"{folder}: contains an adapter next to the model ({', '.join(beside)}), which transformers would add to the base model;"
            " move these files out of the folder, or merge the adapter into the weights"
        )
    config = read_json(folder / "config.json")
    for block in (config, config.get("text_config") or {}):
        if found := block.get("quantization_config") or block.get("compression_config"):
            raise InputError(f"{folder}: the weights are quantised ({found.get('quant_method')}); use the model's unquantised weights")


def build_without_memory(folder):
    """The architecture of a folder's config.json, as transformers would load it, on the meta device; InputError for the wrong kind."""
    import torch
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if config.is_encoder_decoder or type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise InputError(
            f"{folder}: '{config.model_type}' is not a causal language model that transformers can load; use an instruct model"
        )
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def loading_report(folder, model):
    """What transformers says of loading the folder's weights into ``model``: {"missing_keys", "unexpected_keys", "mismatched_keys"}."""
    import torch

    weights = {}
    for name, number_format, shape in weight_headers(folder):
        if number_format not in NUMBER_FORMATS and len(shape) > 1 and min(shape) > 1:
            raise InputError(f"{folder}: weights of the format {number_format} ({name}); use the model's unquantised weights")
        weights[name] = torch.empty(shape, dtype=getattr(torch, NUMBER_FORMATS.get(number_format, "uint8")), device="meta")
    with named_in_errors(folder), quiet_transformers():
        options = {"config": model.config, "dtype": torch.float32, "device_map": {"": "meta"}, "ignore_mismatched_sizes": True}
        return type(model).from_pretrained(None, state_dict=weights, output_loading_info=True, **options)[1]


def check_usable(folder, model):
    """InputError unless the workflow's training, sampling and geometry support the architecture."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    from persona_leakage.models.architecture import linear_layers

    config = model.config.get_text_config()
    try:
        linear_layers(model)
        others = {type(layer).__name__ for layer in DynamicCache(config=config).layers if not isinstance(layer, DynamicLayer)}
        if others:
            raise InputError(f"model: its blocks keep another state than attention's keys and values ({', '.join(sorted(others))})")
        if scaled := [name for name in SCALES if getattr(config, name, None) not in (None, 0, 1)]:
            raise InputError(f"model: architecture '{config.model_type}' scales or caps its logits ({', '.join(scaled)})")
    except InputError as error:
        raise InputError(f"{folder}: not supported: {str(error).removeprefix('model: ')}") from None
