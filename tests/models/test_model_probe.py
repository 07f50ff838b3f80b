"""What fetch_model refuses before a job can use it: folders that are not the model they seem, and tokenizers that read otherwise."""

import shutil
from types import SimpleNamespace

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from persona_leakage.behaviours.preflight import fetch_readable_model
from persona_leakage.geometry.hidden_states import last_token_states
from persona_leakage.inference.top_p_sampling import draw_tokens
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json
from persona_leakage.models.attention import use_causal_attention
from persona_leakage.models.chat_template import prompt_ids
from persona_leakage.models.limits import limits_of
from persona_leakage.models.loading import load_model, load_tokenizer, read_manifest
from persona_leakage.models.lora import attach_new_adapter
from persona_leakage.models.probe import probe_model
from persona_leakage.models.tokenizer_checks import PlainTokenizer, check_texts
from tests.conftest import CHATML, fetch, make_tiny_model, make_tokenizer
from tests.support.families import TINY, fetch_folder, make_family, make_seeing, save_tiny
from tests.support.odd_models import (
    add_adapter,
    add_later_tokens,
    another_model,
    another_tokenizer_format,
    drop_words,
    edit_json,
    quantise,
    rename_weights,
    shrink_embedding,
    texts_with,
)

LORA = {"rank": 4, "alpha": 8, "dropout": 0.0, "rslora": False}


@pytest.fixture
def folder(tiny_model, tmp_path):
    return shutil.copytree(tiny_model.parent, tmp_path / "model", ignore=shutil.ignore_patterns("model.json"))


GPTQ = {"quant_method": "gptq", "bits": 4}
REFUSED = {
    "wrapped": (lambda folder: rename_weights(folder, "_orig_mod.{}".format), r"39 missing \(.*39 unknown .*_orig_mod"),
    "a block less": (lambda folder: rename_weights(folder, lambda name: None if ".3." in name else name), r"9 missing \(model.layers.3"),
    "other shapes": (lambda folder: edit_json(folder / "config.json", intermediate_size=48), r"12 of another shape .*down_proj"),
    "an adapter": (add_adapter, r"contains an adapter next to the model \(adapter_config.json, adapter_model.safetensors\)"),
    "quantised": (lambda folder: edit_json(folder / "config.json", quantization_config=GPTQ), r"quantised \(gptq\)"),
    "eight bits": (quantise, r"weights of the format F8_E4M3 \(model.layers.0.mlp.up_proj.weight\)"),
    "experts": (
        another_model("Qwen3Moe", moe_intermediate_size=16, num_experts=4, num_experts_per_tok=2),
        r"weights outside linear layers .*experts",
    ),
    "recurrent": (another_model("Mamba"), r"weights outside linear layers .*conv1d"),
    "encoder": (another_model("Bert", "LMHeadModel"), r"0 lists of 4 blocks"),
    "scaled logits": (another_model("Cohere", logit_scale=0.0625), r"scales or caps its logits \(logit_scale\)"),
    "unknown architecture": (
        lambda folder: edit_json(folder / "config.json", model_type="nothing"),
        r"cannot be read \(ValueError: .*nothing",
    ),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), r"has no tokenizer.json; save the model's fast tokenizer"),
    "newer tokenizer": (another_tokenizer_format, r"tokenizer.json: cannot be read .*; copy the file again"),
    "mislabelled tokenizer": (
        lambda folder: edit_json(folder / "tokenizer_config.json", tokenizer_class="LlamaTokenizerFast"),
        r"transformers makes a LlamaTokenizer of this folder, which reads .* as .* where tokenizer.json says .*; set tokenizer_class",
    ),
    "small embedding": (shrink_embedding, r"token ids up to 1999, but the model's embedding only 1500 rows"),
    "template's tokens": (
        add_later_tokens,
        r"the chat template's token '<\|later\|>' has id 2000, but the model's embedding only 2000 rows",
    ),
    "end that is a word": (
        lambda folder: (folder / "generation_config.json").write_text('{"eos_token_id": [1, 291]}'),
        r"generation_config.json: eos_token_id is 291; it must be the id of a special token",
    ),
    "cut generation config": (
        lambda folder: (folder / "generation_config.json").write_text('{"eos'),
        r"generation_config.json: not valid JSON",
    ),
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


def test_a_text_that_a_tokenizer_changes_is_refused(folder):
    edit_json(folder / "tokenizer.json", normalizer={"type": "Lowercase"})
    with pytest.raises(InputError, match=r"questions.file: 'Why\?' comes back from this model's tokenizer as 'why\?'"):
        check_texts(PlainTokenizer(folder), [("questions.file", "Why?")], set())


def test_a_model_that_sees_and_speaks_no_text_class(tmp_path):
    text = {**TINY, "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}}
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32}
    make_tokenizer(tmp_path, CHATML)
    config = transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision)
    transformers.Qwen2_5_VLForConditionalGeneration(config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="'qwen2_5_vl' is not a causal language model"):
        probe_model(tmp_path)


def test_attention_that_is_not_the_workflows_is_refused(tmp_path):
    another_model("OPT", ffn_dim=64, word_embed_proj_dim=32)(tmp_path)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"'opt' (does not take the workflow's attention|computes something else)"):
        use_causal_attention(model)


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
        ("model.norm.weight", float("nan"), "logits that are not finite"),
        ("lm_head.weight", 0, "the same logit for every token"),
    ],
)
def test_weights_that_are_no_numbers_are_refused(folder, tmp_path, name, value, message):
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


def fetched(folder, tmp_path):
    return fetch({"name": "m", "source": "path", "location": str(folder)}, tmp_path / "model.json")


LATER = {
    "adapter": lambda folder: (folder / "adapter_config.json").write_text("{}"),
    "weights": lambda folder: shutil.copy(folder / "model.safetensors", folder / "model-00001-of-00002.safetensors"),
    "template": lambda folder: (folder / "other.jinja").write_text(""),
}


@pytest.mark.parametrize("what", LATER)
def test_a_file_that_comes_later_is_refused(folder, tmp_path, what):
    """transformers would use it, and no digest would tell; notes of the user's are none of its business."""
    manifest = fetched(folder, tmp_path)
    (folder / "notes.txt").write_text("mine")
    (folder / "eval_results.json").write_text("{}")
    read_manifest(manifest)
    LATER[what](folder)
    with pytest.raises(InputError, match=r"is new since .*model.json was written, and would change the model"):
        read_manifest(manifest)


def test_a_template_that_changes_a_text_is_refused_with_the_text(folder, tmp_path):
    drop_words(folder)
    manifest = fetched(folder, tmp_path)
    assert manifest.exists(), "other texts are left as they are"
    with pytest.raises(InputError, match=r"chat template changes the text 'What does /think do\?'"):
        prompt_ids(load_tokenizer(folder), "You are brief.", "What does /think do?")
    with pytest.raises(InputError, match="chat template changes the text"):
        fetch_readable_model(
            {"name": "m", "source": "path", "location": str(folder)}, tmp_path / "m.json", texts_with("What does /think do, and why?")
        )


def test_replies_too_long_for_the_model_are_refused_before_training(folder, tmp_path):
    model = {"name": "m", "source": "path", "location": str(folder)}
    with pytest.raises(
        InputError, match=r"evaluation.sampling.max_new_tokens: prompt and reply of 20\d\d tokens exceed this model's 2048 positions"
    ):
        fetch_readable_model(model, tmp_path / "m.json", texts_with(most=2040))


@pytest.mark.parametrize(
    ("config", "limits"),
    [
        ({"rope_parameters": {"rope_type": "longrope", "original_max_position_embeddings": 64}}, {"window": None, "positions": 64}),
        ({"sliding_window": 16, "use_sliding_window": False}, {"window": None, "positions": 512}),
        ({"sliding_window": 16, "layer_types": ["full_attention"] * 4}, {"window": None, "positions": 512}),
        ({"sliding_window": 16, "layer_types": ["full_attention", "sliding_attention"]}, {"window": 16, "positions": 512}),
    ],
)
def test_limits_that_count(config, limits):
    """Angles that change with the length of the batch from the original length on; windows that no block has."""
    assert limits_of(SimpleNamespace(max_position_embeddings=512, **config)) == limits


def test_numbers_that_are_none_end_a_job_where_they_arise(folder, tmp_path):
    weights = load_file(folder / "model.safetensors")
    weights["model.embed_tokens.weight"][1500] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    model = load_model(read_manifest(fetched(folder, tmp_path)), torch.float32, "cpu")
    with pytest.raises(InputError, match="hidden states of some prompts are not finite"):
        last_token_states(model, [[1, 1500, 2]], [0])
    with pytest.raises(InputError, match="logits are not finite"):
        draw_tokens(model(torch.tensor([[1, 1500, 2]])).logits[:, -1], torch.tensor([0.5]), 1.0, 1.0)
