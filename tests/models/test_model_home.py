"""The folder of a fetched model: only what the workflow put there is replaced, only what the model needs is downloaded."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from persona_leakage.behaviours.preflight import fetch_readable_model
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json
from persona_leakage.models.hub_download import wanted_files
from persona_leakage.models.model_home import home_of
from tests.conftest import ROOT, make_tiny_model
from tests.support.hub_server import HubServer

REVISION = "a" * 40
MODEL = {"name": "my-model", "source": "hub", "location": "somebody/my-model", "revision": REVISION}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny_model(folder)
    return folder


def content_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def fill_with(**files):

    def fill(folder):
        for name, text in files.items():
            (folder / f"{name}.json").write_text(text)

    return fill


def offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_a_users_own_files_are_refused_and_kept(tiny, tmp_path, monkeypatch):
    """Copied by hand to where the workflow would put the model: not one of them may go."""
    offline(monkeypatch)
    home = shutil.copytree(tiny, tmp_path / "my-model")
    before = content_of(home)
    with pytest.raises(
        InputError, match=r"my-model: holds files that this workflow did not put there \(chat_template.jinja, .*source: path"
    ):
        fetch_readable_model(MODEL, home / "model.json")
    assert content_of(home) == before


def test_a_users_file_or_edit_in_a_fetched_model_is_kept(tmp_path):
    with home_of(tmp_path, "first", fill_with(config="1")):
        pass
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"did not put there \(notes.txt\)"), home_of(tmp_path, "second", fill_with(config="2")):
        pass
    assert (tmp_path / "notes.txt").read_text() == "mine"
    (tmp_path / "notes.txt").unlink()
    (tmp_path / "config.json").write_text("edited")
    for wanted in ("first", "second"):
        with pytest.raises(InputError, match=r"did not put there \(config.json\)"), home_of(tmp_path, wanted, fill_with(config="2")):
            pass
    assert (tmp_path / "config.json").read_text() == "edited"


def test_a_model_gives_way_only_to_one_that_stands(tmp_path):
    with home_of(tmp_path, "first", fill_with(config="1", weights="a")) as folder:
        assert folder != tmp_path

    def fail(folder):
        (folder / "config.json").write_text("half")
        raise InputError("no network")

    with pytest.raises(InputError, match="no network"), home_of(tmp_path, "second", fail):
        pass
    with pytest.raises(InputError, match="no good"), home_of(tmp_path, "second", fill_with(config="2")):
        raise InputError("no good")
    assert (tmp_path / "config.json").read_text() == "1"
    with home_of(tmp_path, "first", fail) as folder:
        assert folder == tmp_path, "what is there is not fetched again"
    with home_of(tmp_path, "second", fill_with(config="2")):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "source.stamp"}
    assert (tmp_path / "config.json").read_text() == "2"


def test_a_move_that_was_cut_off_goes_on(tmp_path, monkeypatch):
    """A kill between two of the files: what is there is known as the workflow's own, and the rest comes again."""
    fill, move = fill_with(config="1", weights="a"), Path.replace

    def moved(path, target):
        if path.name == "weights.json":
            raise KeyboardInterrupt
        return move(path, target)

    monkeypatch.setattr(Path, "replace", moved)
    with pytest.raises(KeyboardInterrupt), home_of(tmp_path, "first", fill):
        pass
    monkeypatch.undo()
    assert (tmp_path / "config.json").is_file() and not (tmp_path / "weights.json").exists()
    with home_of(tmp_path, "first", fill) as folder:
        assert folder != tmp_path
    assert (tmp_path / "weights.json").read_text() == "a" and (tmp_path / "config.json").read_text() == "1"


LISTED = ["README.md", "config.json", "tokenizer.json", "adapter_config.json", "adapter_model.safetensors", "consolidated.safetensors",
          "original/model.safetensors", "checkpoint-500/model.safetensors", "chat_template.jinja", "pytorch_model.bin"]  # fmt: skip


def test_only_the_weights_that_count_are_wanted(tmp_path):
    small = ["chat_template.jinja", "config.json", "tokenizer.json"]
    assert wanted_files([*LISTED, "model.safetensors"], None) == [*small, "model.safetensors"]
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-2.safetensors", "b": "model-1.safetensors", "c": "model-1.safetensors"}}))
    found = wanted_files([*LISTED, index.name, "model-1.safetensors", "model-2.safetensors", "model-3.safetensors"], lambda name: index)
    assert found == [*small, index.name, "model-1.safetensors", "model-2.safetensors"]
    with pytest.raises(InputError, match=r"neither model.safetensors nor .*weights that it has: .*pytorch_model.bin"):
        wanted_files(LISTED, None)


def fetch_as_user(home, cwd, **env):
    """Run fetch_model in a process of its own, as hub addresses are read when the library is imported."""
    command = [sys.executable, str(ROOT / "workflow_scripts/fetch_model.py"), "--settings", json.dumps({"model": MODEL}), "--manifest"]
    outside = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    return subprocess.run([*command, str(home / "model.json")], cwd=cwd, env={**outside, **env}, capture_output=True, text=True)


def test_a_download_takes_the_model_and_no_more(tiny, tmp_path):
    """From a hub on this machine, whose repository holds the weights three times and an adapter."""
    files = {path.name: path.read_bytes() for path in tiny.iterdir()}
    more = {name: b"{}" for name in LISTED if name not in files}
    with HubServer(MODEL["location"], {**more, **files}) as hub:
        place = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_DISABLE_XET": "1"}
        done = fetch_as_user(tmp_path / "home", tmp_path, **place)
        assert done.returncode == 0, done.stderr
        assert hub.downloaded == set(files)
    assert {path.name for path in (tmp_path / "home").iterdir()} == {*files, "model.json", "source.stamp"}
    assert read_json(tmp_path / "home/model.json")["revision"] == REVISION


@pytest.mark.slow
def test_the_cache_of_the_hub_is_used_without_network(tiny, tmp_path):
    """The pinned commit as huggingface_hub keeps it: links to blobs. Another commit, or one without its weights, is of no use."""
    cached = tmp_path / "hub/hub/models--somebody--my-model"
    snapshot = cached / "snapshots" / REVISION
    (cached / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for path in tiny.iterdir():
        blob = cached / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
        shutil.copy(path, blob)
        (snapshot / path.name).symlink_to(blob)
    place = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    done = fetch_as_user(tmp_path / "home", tmp_path, **place)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "home/model.safetensors").read_bytes() == (tiny / "model.safetensors").read_bytes()
    assert not (tmp_path / "home/model.safetensors").is_symlink()
    (snapshot / "model.safetensors").unlink()
    done = fetch_as_user(tmp_path / "another", tmp_path, **place)
    assert done.returncode == 1 and "its cache on this machine is incomplete" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_download_is_refused_before_the_weights_come(tiny, tmp_path):
    """By the small files alone: here an end of turn that the tokenizer does not have."""
    files = {path.name: path.read_bytes() for path in tiny.iterdir()} | {"generation_config.json": b'{"eos_token_id": 291}'}
    with HubServer(MODEL["location"], files) as hub:
        place = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_DISABLE_XET": "1"}
        done = fetch_as_user(tmp_path / "home", tmp_path, **place)
        assert done.returncode == 1 and "somebody/my-model: generation_config.json: eos_token_id is 291" in done.stderr, done.stderr
        assert "model.safetensors" not in hub.downloaded
