"""Changes that make a model folder another thing than it seems, and the texts that a config puts in front of a model."""

import json

import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from persona_leakage.infrastructure.files import read_json
from tests.conftest import CHATML, make_tokenizer
from tests.support.families import save_tiny


def edit_json(path, **values):
    """Set keys of a JSON file."""
    path.write_text(json.dumps({**read_json(path), **values}))


def rename_weights(folder, rename):
    """Save the weights again under rename(name), less those for which that is None."""
    weights = load_file(folder / "model.safetensors")
    renamed = {new: tensor for name, tensor in weights.items() if (new := rename(name))}
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})


def add_adapter(folder):
    """What saving an adapter into the folder of its base model leaves there."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"])).save_pretrained(folder)


def another_model(name, kind="ForCausalLM", **config):
    """A change that puts a tiny model of another class of transformers into the folder."""
    return lambda folder: save_tiny(name, folder, make_tokenizer(folder, CHATML), kind, **config)


def quantise(folder):
    """One matrix in 8-bit floats, as fp8 checkpoints have them, and nothing in config.json that says so."""
    weights = load_file(folder / "model.safetensors")
    name = "model.layers.0.mlp.up_proj.weight"
    save_file({**weights, name: weights[name].to(torch.float8_e4m3fn)}, folder / "model.safetensors", metadata={"format": "pt"})


def shrink_embedding(folder):
    """A model with fewer rows than its tokenizer has tokens."""
    save_tiny("Llama", folder, transformers.AutoTokenizer.from_pretrained(folder), vocab_size=1500)


def another_tokenizer_format(folder):
    """A tokenizer.json of a version of the library that is not installed."""
    content = read_json(folder / "tokenizer.json")
    edit_json(folder / "tokenizer.json", model={**content["model"], "type": "NewerBPE"})


def texts_with(*questions, marker="[ZLT]", most=8):
    """What a config puts in front of the model, as fetch_model takes it."""
    return {
        "texts": [("questions.file", question) for question in questions],
        "prompts": {"pirate": "You are a pirate who sails the seven seas."},
        "questions": ["Why?", *questions],
        "behaviour": {"marker": marker, "separator": "\n\n"},
        "replies": {"evaluation.sampling.max_new_tokens": most},
    }


def add_later_tokens(folder):
    """A tokenizer whose template's tokens the embedding has no rows for."""
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|later|>"]})
    tokenizer.chat_template = tokenizer.chat_template.replace("<|im_start|>", "<|later|>")
    tokenizer.save_pretrained(folder)


def drop_words(folder):
    """A template that takes a word out of what it is given."""
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").write_text(template.replace("message['content']", "message['content'].replace('/think', '')"))
