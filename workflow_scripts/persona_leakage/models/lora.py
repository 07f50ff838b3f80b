"""LoRA adapters with peft: making one, saving it as two explicit files, loading it for sampling."""

import shutil
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from safetensors import SafetensorError

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import refusal, temporary_beside, writing_to
from persona_leakage.models.architecture import linear_layers
from persona_leakage.models.saved_adapter import CONFIG, WEIGHTS


def attach_new_adapter(model, lora, seed):
    """Wrap ``model`` with a new float32 adapter on every linear layer of its decoder's blocks: A random from ``seed``, B zero.

    lora: {"rank", "alpha", "dropout", "rslora"}: scaled by alpha / rank; rslora (Kalajdzievski 2023, arXiv:2312.03732): alpha / sqrt(rank).
    """
    targets = linear_layers(model)
    torch.manual_seed(seed)
    # peft shortens the paths to endings that fit no other layer: for most models q_proj, v_proj, ...
    return get_peft_model(
        model,
        LoraConfig(
            task_type="CAUSAL_LM",
            r=lora["rank"],
            lora_alpha=lora["alpha"],
            lora_dropout=lora["dropout"],
            use_rslora=lora["rslora"],
            target_modules=targets,
        ),
    )


def adapted_layers(model):
    """Names (their last parts) of the kinds of layers that the adapter of a wrapped model sits on, sorted."""
    return sorted({name.rpartition(".")[2] for config in model.peft_config.values() for name in config.target_modules})


def put_weights(model, weights):
    """Give the adapter of a wrapped model these ``weights``: {name as peft writes it: tensor}."""
    set_peft_model_state_dict(model, weights)


def save_adapter(model, base_name, folder):
    """Write the adapter's two files into ``folder``, the weights last; ``base_name``: the base model in its config."""
    folder = Path(folder)
    for config in model.peft_config.values():
        config.base_model_name_or_path = base_name
        config.target_modules = sorted(config.target_modules)
    with writing_to(folder / WEIGHTS):
        folder.mkdir(parents=True, exist_ok=True)
        staging = temporary_beside(folder / WEIGHTS)
        try:
            model.save_pretrained(staging, save_embedding_layers=False)
            for name in (CONFIG, WEIGHTS):
                (staging / name).replace(folder / name)
        except SafetensorError as error:  # hides the system's error
            raise InputError(refusal(folder / WEIGHTS, error)) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def load_adapter(model, folder, merge):
    """``model`` with the adapter of ``folder``, ready for sampling.

    merge: fold the adapter into the weights, computed in float32 and rounded to their format: faster on a CPU. InputError if the
    folder has no safetensors weights: peft would take adapter_model.bin, which can run code.
    """
    if not (Path(folder) / WEIGHTS).is_file():
        raise InputError(f"{folder}: has no {WEIGHTS}; adapters are read from no other format")
    if not merge:
        return PeftModel.from_pretrained(model, folder).to(model.dtype).eval().get_base_model()
    dtype = model.dtype
    return PeftModel.from_pretrained(model.float(), folder).merge_and_unload().to(dtype).eval()
