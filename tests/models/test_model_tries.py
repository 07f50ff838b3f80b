"""What only a try of a model, or of its texts, shows: files that come later, templates that change a text, numbers that are none."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from persona_leakage.behaviours.preflight import fetch_readable_model
from persona_leakage.geometry.hidden_states import last_token_states
from persona_leakage.inference.top_p_sampling import draw_tokens
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json
from persona_leakage.models.chat_template import prompt_ids
from persona_leakage.models.limits import limits_of
from persona_leakage.models.loading import load_model, load_tokenizer, read_manifest
from tests.conftest import fetch
from tests.support.odd_models import add_later_tokens, another_model, drop_words, edit_json, list_shards, texts_with


@pytest.fixture
def folder(tiny_model, tmp_path):
    """A copy of a tiny model's folder."""
    return shutil.copytree(tiny_model.parent, tmp_path / "model", ignore=shutil.ignore_patterns("model.json"))


def fetched(folder, tmp_path):
    """The path of a model.json made for a folder, outside it."""
    return fetch({"name": "m", "source": "path", "location": str(folder)}, tmp_path / "model.json")


LATER = {
    "adapter": lambda folder: (folder / "adapter_config.json").write_text("{}"),
    "weights": lambda folder: shutil.copy(folder / "model.safetensors", folder / "model-00001-of-00002.safetensors"),
    "template": lambda folder: (folder / "chat_template.json").write_text("{}"),
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


def test_further_chat_templates_are_refused_whenever_they_come(folder, tmp_path):
    """transformers takes default.jinja of that folder in the place of the model's own template."""
    manifest = fetched(folder, tmp_path)
    more = folder / "additional_chat_templates"
    more.mkdir()
    (more / "default.jinja").write_text("{{ messages }}")
    for use in (lambda: read_manifest(manifest), lambda: fetched(folder, tmp_path / "again")):
        with pytest.raises(InputError, match="additional_chat_templates: its templates would take the place of the model's own"):
            use()


FOUND_BY_TRYING = {
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
    "shard elsewhere": (
        lambda folder: list_shards(folder, metadata={}, weight_map={"a": "../b.safetensors"}),
        r"which is not in the folder",
    ),
    "no index": (lambda folder: list_shards(folder), r"must have metadata and a weight_map"),
    "attention of its own": (another_model("OPT", ffn_dim=64, word_embed_proj_dim=32), r"'opt' does not take the workflow's attention"),
    "random tokenizer": (
        lambda folder: edit_json(folder / "tokenizer.json", model={**read_json(folder / "tokenizer.json")["model"], "dropout": 0.001}),
        r"has a dropout, so the same text gives other tokens each time",
    ),
}


@pytest.mark.parametrize("case", FOUND_BY_TRYING)
def test_what_only_a_try_would_show_is_refused_at_once(folder, tmp_path, case):
    change, message = FOUND_BY_TRYING[case]
    change(folder)
    with pytest.raises(InputError, match=message):
        fetched(folder, tmp_path)


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
    """In the embedding of a token that the probe does not meet."""
    weights = load_file(folder / "model.safetensors")
    weights["model.embed_tokens.weight"][1500] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    model = load_model(read_manifest(fetched(folder, tmp_path)), torch.float32, "cpu")
    with pytest.raises(InputError, match="hidden states are no numbers"):
        last_token_states(model, [[1, 1500, 2]], [0])
    with pytest.raises(InputError, match=r"sampling.temperature: 1e-300 is too small"):
        draw_tokens(torch.ones(1, 8), torch.tensor([0.5]), 1e-300, 1.0)
    with pytest.raises(InputError, match="logits are no numbers"):
        draw_tokens(model(torch.tensor([[1, 1500, 2]])).logits[:, -1], torch.tensor([0.5]), 1.0, 1.0)


def test_a_manifest_of_an_older_version_is_named(tiny_model, tmp_path):
    """Jobs would miss what it does not have."""
    manifest = read_json(tiny_model)
    del manifest["limits"]
    (tmp_path / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="was written by an older version; delete it and run again"):
        read_manifest(tmp_path / "model.json")
