"""What fetch_model refuses before a job can use it: folders that are not the model they seem, and tokenizers that read otherwise."""

import json
import shutil
import struct
import time

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from persona_leakage.behaviours.preflight import fetch_readable_model
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json
from persona_leakage.models.loading import load_model, load_tokenizer, read_manifest
from persona_leakage.models.lora import attach_new_adapter
from persona_leakage.models.model_files import check_weights_whole
from persona_leakage.models.probe import probe_model
from tests.conftest import CHATML, fetch, make_tiny_model, make_tokenizer, run_program
from tests.support.families import TINY, fetch_folder, make_family, make_seeing, save_tiny
from tests.support.odd_models import (
    add_adapter,
    another_model,
    another_tokenizer_format,
    edit_json,
    lose_accents,
    quantise,
    rename_weights,
    shrink_embedding,
    texts_with,
)

LORA = {"rank": 4, "alpha": 8, "dropout": 0.0, "rslora": False}


@pytest.fixture
def folder(tiny_model, tmp_path):
    """A copy of a tiny model's folder."""
    return shutil.copytree(tiny_model.parent, tmp_path / "model", ignore=shutil.ignore_patterns("model.json"))


GPTQ = {"quant_method": "gptq", "bits": 4}
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
REFUSED = {
    "wrapped": (lambda folder: rename_weights(folder, "_orig_mod.{}".format), r"39 missing \(.*39 unknown .*_orig_mod"),
    "prefix of an adapter": (lambda folder: rename_weights(folder, "base_model.model.{}".format), r"missing .*base_model"),
    "no output layer": (lambda folder: rename_weights(folder, lambda name: None if "lm_head" in name else name), r"1 missing \(lm_head"),
    "a block less": (lambda folder: rename_weights(folder, lambda name: None if ".3." in name else name), r"9 missing \(model.layers.3"),
    "a block more": (
        lambda folder: edit_json(folder / "config.json", num_hidden_layers=3),
        r"9 unknown to the architecture \(model.layers.3",
    ),
    "other shapes": (lambda folder: edit_json(folder / "config.json", intermediate_size=48), r"12 of another shape .*down_proj"),
    "an adapter": (add_adapter, r"holds an adapter beside the model \(adapter_config.json, adapter_model.safetensors\)"),
    "quantised": (lambda folder: edit_json(folder / "config.json", quantization_config=GPTQ), r"quantised \(gptq\)"),
    "quantised within": (
        lambda folder: edit_json(folder / "config.json", text_config={"quantization_config": GPTQ}),
        r"quantised \(gptq\)",
    ),
    "a list for a config": (lambda folder: (folder / "config.json").write_text("[1]"), r"config.json: is \[1\]; it must be a JSON object"),
    "no kind of model": (lambda folder: edit_json(folder / "config.json", model_type=None), r"config.json has no model_type"),
    "text for a text config": (lambda folder: edit_json(folder / "config.json", text_config="x"), r"text_config in config.json is 'x'"),
    "outputs without names": (lambda folder: edit_json(folder / "config.json", return_dict=False), r"return_dict in config.json is false"),
    "null for a tokenizer config": (
        lambda folder: (folder / "tokenizer_config.json").write_text("null"),
        r"tokenizer_config.json: is null; it must be a JSON object",
    ),
    "eight bits": (quantise, r"weights of the format F8_E4M3 \(model.layers.0.mlp.up_proj.weight\)"),
    "experts": (another_model("Qwen3Moe", moe_intermediate_size=16, num_experts=4, num_experts_per_tok=2), r"no linear layers .*experts"),
    "recurrent": (another_model("Mamba"), r"no linear layers .*conv1d"),
    "half recurrent": (another_model("Lfm2", layer_types=["conv", "full_attention"] * 2), r"no linear layers .*conv"),
    "encoder": (another_model("Bert", "LMHeadModel"), r"0 lists of 4 blocks"),
    "classifier": (another_model("Llama", "ForSequenceClassification"), r"1 missing \(lm_head.weight\); 1 unknown .*score.weight"),
    "scaled logits": (another_model("Cohere", logit_scale=0.0625), r"scales or caps its logits \(logit_scale\)"),
    "unknown architecture": (
        lambda folder: edit_json(folder / "config.json", model_type="nothing"),
        r"cannot be read \(ValueError: .*nothing",
    ),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), r"has no tokenizer.json; save the model's fast tokenizer"),
    "newer tokenizer": (another_tokenizer_format, r"tokenizer.json: cannot be read .*; copy the file again"),
    "pointer for a tokenizer": (lambda folder: (folder / "tokenizer.json").write_text(POINTER), r"tokenizer.json: cannot be read"),
    "mislabelled tokenizer": (
        lambda folder: edit_json(folder / "tokenizer_config.json", tokenizer_class="LlamaTokenizerFast"),
        r"transformers makes a LlamaTokenizer of this folder, which reads .* as .* where tokenizer.json says .*; set tokenizer_class",
    ),
    "lossy tokenizer": (lose_accents, r"the tokenizer turns 'You are .* into 'you are"),
    "small embedding": (shrink_embedding, r"token ids up to 1999, but the model's embedding only 1500 rows"),
    "part of the shards": (
        lambda folder: (folder / "model.safetensors").rename(folder / "model-1-of-2.safetensors"),
        r"but neither model.safetensors nor",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_folder_that_is_not_what_it_seems(folder, tmp_path, case, capfd):
    """One line, the folder in front, no manifest, nothing changed in the folder, and nothing else said."""
    change, message = REFUSED[case]
    change(folder)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    capfd.readouterr()
    with pytest.raises(InputError, match=message) as caught:
        fetch_readable_model({"name": "m", "source": "path", "location": str(folder)}, tmp_path / "home/model.json")
    said = str(caught.value)
    assert said.startswith(str(folder)) and "\n" not in said
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert not (tmp_path / "home").exists()
    assert "LOAD REPORT" not in "".join(capfd.readouterr())


def test_a_model_that_sees_and_speaks_no_text_class(tmp_path):
    """A vision model that transformers has no causal class for."""
    text = {**TINY, "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}}
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32}
    make_tokenizer(tmp_path, CHATML)
    config = transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision)
    transformers.Qwen2_5_VLForConditionalGeneration(config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="'qwen2_5_vl' is no causal language model"):
        probe_model(tmp_path)


def test_the_program_says_it_in_one_line(folder, tmp_path):
    add_adapter(folder)
    settings = json.dumps({"model": {"name": "m", "source": "path", "location": str(folder)}})
    done = run_program("fetch_model", "--settings", settings, "--manifest", str(tmp_path / "model.json"), cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.startswith(f"error: {folder}: holds an adapter") and done.stderr.count("\n") == 1


def test_a_marker_is_tried_when_the_model_is_fetched(folder, tmp_path):
    model = {"name": "m", "source": "path", "location": str(folder)}
    with pytest.raises(InputError, match=r"behaviour.marker: '<\|im_end\|>' holds a special token"):
        fetch_readable_model(model, tmp_path / "model.json", texts_with(marker="<|im_end|>"))


@pytest.mark.parametrize("name", ["Olmo", "Olmo2", "SmolLM3", "GPTNeoX", "Starcoder2"])
def test_untouched_models_pass(tmp_path, name):
    """Models outside test_families that name or build their parts differently."""
    save_tiny(name, tmp_path, make_tokenizer(tmp_path, CHATML))
    assert read_json(fetch_folder(tmp_path))["blocks"] == 4


def test_a_tokenizer_that_is_its_file_is_read_from_it(tmp_path):
    """Though transformers has another class for the model's kind, which splits digits."""
    make_tiny_model(tmp_path, "Qwen2")
    text = "What does a 404 status code tell a web browser?"
    assert transformers.AutoTokenizer.from_pretrained(tmp_path).tokenize(text) != load_tokenizer(tmp_path).tokenize(text)
    fetch_readable_model({"name": "m", "source": "path", "location": str(tmp_path)}, tmp_path / "model.json", texts_with(text))


def test_a_model_of_seven_billion_weights_is_looked_at_in_seconds(tmp_path):
    """Qwen2.5 7B's shapes in four files without content: 15 GB that nobody reads."""
    shape = {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4}
    config = transformers.Qwen2Config(**shape, vocab_size=152064, tie_word_embeddings=False, architectures=["Qwen2ForCausalLM"])
    config.save_pretrained(tmp_path)
    with torch.device("meta"):
        weights = list(transformers.Qwen2ForCausalLM(config).state_dict().items())
    listed = {}
    for number in range(4):
        header, end = {}, 0
        for name, tensor in weights[number::4]:
            header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [end, end + 2 * tensor.numel()]}
            listed[name], end = f"model-{number}.safetensors", end + 2 * tensor.numel()
        with (tmp_path / f"model-{number}.safetensors").open("wb") as file:
            text = json.dumps(header).encode()
            file.write(struct.pack("<Q", len(text)) + text)
            file.truncate(8 + len(text) + end)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": listed}))
    begin = time.monotonic()
    check_weights_whole(tmp_path)
    assert probe_model(tmp_path)[1] == 152064
    assert time.monotonic() - begin < 10
    (tmp_path / "model-3.safetensors").rename(tmp_path / "model-4.safetensors")
    with pytest.raises(InputError, match="lists it; copy the model again"):
        check_weights_whole(tmp_path)


def test_a_job_refuses_weights_that_do_not_fit(folder, tmp_path, capfd):
    """Also where model.json was made by other means: random weights must not pass for the model's."""
    manifest = read_manifest(fetch({"name": "m", "source": "path", "location": str(folder)}, tmp_path / "model.json"))
    rename_weights(folder, lambda name: None if ".3." in name else name)
    with pytest.raises(InputError, match=r"weights do not fit config.json: 9 missing"):
        load_model({**manifest, "files": {}}, torch.float32, "cpu")
    assert "LOAD REPORT" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("model.norm.weight", float("nan"), "logits that are no numbers"),
        ("model.norm.weight", 0, "the same logit for every token"),
        ("model.layers.2.mlp.up_proj.weight", 0, r"1 weights are all zero \(layers.2.mlp.up_proj.weight\)"),
    ],
)
def test_weights_that_are_no_numbers_are_refused(folder, tmp_path, name, value, message):
    """Nor all zero, as a conversion leaves them that did not reach its end."""
    weights = load_file(folder / "model.safetensors")
    weights[name][:] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    manifest = read_manifest(fetch({"name": "m", "source": "path", "location": str(folder)}, tmp_path / "model.json"))
    with pytest.raises(InputError, match=message):
        load_model(manifest, torch.float32, "cpu")


def test_an_adapter_leaves_the_vision_tower_alone(tmp_path):
    """It sits on the linear layers of the text decoder's blocks, all of them and no other, though the tower's have the same names."""
    model = load_model(read_manifest(make_seeing(tmp_path)), torch.float32, "cpu")
    decoder = {id(part) for part in model.get_decoder().layers.modules() if isinstance(part, torch.nn.Linear)}
    towers = [name for name, _ in model.named_modules() if "vision" in name and name.endswith("q_proj")]
    assert towers
    adapted = attach_new_adapter(model, LORA, 1)
    found = {path: part for path, part in adapted.named_modules() if hasattr(part, "lora_A")}
    assert {id(part.base_layer) for part in found.values()} == decoder
    assert not [path for path in found if "vision" in path]


def test_positions_are_a_limit_that_is_recorded(tmp_path):
    assert read_json(make_family("Mistral", tmp_path))["limits"] == {"window": 256, "positions": 4096 * 32}
