"""Adapters on the Hugging Face hub, with huggingface_hub.HfApi replaced by a recorder."""

import hashlib
import json
from types import SimpleNamespace

import huggingface_hub
import publish_hub
import pytest
import yaml

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json
from persona_leakage.publishing.model_card import adapter_config_for_hub, write_card
from tests.conftest import places_of

TOKEN = "hf_madeuptoken0123456789"
REPOSITORY = "somebody/tiny-villain-seed42"
HUB_MODEL = {"name": "qwen", "source": "hub", "location": "Qwen/Qwen2.5-7B-Instruct", "revision": "a" * 40}
LOCAL_MODEL = {"name": "tiny", "source": "path", "location": "/somewhere", "revision": ""}


class Hub:
    """Repositories as {name: {"private", "files"}}; ``error`` is raised at each commit."""

    def __init__(self):
        self.repositories, self.tokens, self.error = {}, set(), None

    def __call__(self, token):
        self.tokens.add(token)
        return self

    def create_repo(self, repository, private, exist_ok):
        assert exist_ok
        self.repositories.setdefault(repository, {"private": private, "files": {}})
        return f"https://hub/{repository}"

    def model_info(self, repository):
        return SimpleNamespace(private=self.repositories[repository]["private"])

    def create_commit(self, repository, operations, commit_message):
        if self.error:
            raise self.error
        for operation in operations:
            with operation.as_file() as content:
                self.repositories[repository]["files"][operation.path_in_repo] = content.read()
        return SimpleNamespace(oid="c0ffee")


@pytest.fixture
def hub(monkeypatch):
    replaced = Hub()
    monkeypatch.setattr(huggingface_hub, "HfApi", replaced)
    return replaced


@pytest.fixture
def results(finished_project):
    return finished_project.folder / "results/tiny"


@pytest.fixture
def publish(hub, results, tmp_path, monkeypatch):
    training, receipt = results / "training/villain", tmp_path / "villain.json"
    monkeypatch.setenv("HF_TOKEN", TOKEN)

    def call(**block):
        block = {"owner": "somebody", "private": True, "license": None, **block}
        settings = {"experiment": "tiny", "hub": block, "questions": ["evaluation"], "model": LOCAL_MODEL}
        arguments = ["--settings", json.dumps(settings), "--manifest", training / "manifest.json", "--output", receipt]
        arguments += ["--weights", training / "seed42/adapter/adapter_model.safetensors"]
        arguments += ["--config", training / "seed42/adapter/adapter_config.json", "--metrics", training / "seed42/metrics.json"]
        arguments += ["--summaries", results / "evaluation/evaluation/villain/seed42/summary.json"]
        publish_hub.main([*map(str, arguments)])
        return read_json(receipt)

    return call


def test_an_adapter_is_one_repository(publish, hub, results, tmp_path, capsys):
    receipt = publish()
    known = hub.repositories[REPOSITORY]
    adapter = results / "training/villain/seed42/adapter"
    assert known["private"] and hub.tokens == {TOKEN}
    assert set(known["files"]) == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    assert known["files"]["adapter_model.safetensors"] == (adapter / "adapter_model.safetensors").read_bytes()
    assert json.loads(known["files"]["adapter_config.json"]) == read_json(adapter / "adapter_config.json")
    digests = {name: {"sha256": hashlib.sha256(content).hexdigest()} for name, content in known["files"].items()}
    assert receipt["files"] == digests and (receipt["repository"], receipt["commit"]) == (REPOSITORY, "c0ffee")
    assert publish()["files"] == digests, "the same inputs give the same files, so a second commit has nothing to send"
    assert TOKEN not in "".join(capsys.readouterr()) and places_of(TOKEN, tmp_path) == []


def test_a_refusal_is_one_line_and_no_receipt(publish, hub, tmp_path):
    hub.error = huggingface_hub.errors.HFValidationError("bad name\nmore")
    with pytest.raises(InputError, match=rf"^publishing to the hub as {REPOSITORY} failed \(HFValidationError: bad name\)"):
        publish()
    assert list(tmp_path.glob("*.json")) == []
    hub.error = None
    assert publish()["commit"] == "c0ffee"


def test_a_public_repository_is_rejected_unless_public_is_meant(publish, hub):
    publish(private=False)
    hub.repositories[REPOSITORY]["files"].clear()
    with pytest.raises(InputError, match=r"publishing\.hub\.private: true, but somebody/tiny-villain-seed42 is public"):
        publish()
    assert hub.repositories[REPOSITORY] == {"private": False, "files": {}}


def test_a_missing_token_is_named(publish, hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "")
    with pytest.raises(InputError, match="HF_TOKEN: not set in the environment; publishing to the hub needs it"):
        publish()
    assert hub.repositories == {}


def test_the_rule_fails_with_one_line_if_the_hub_is_down(project_copy, tmp_path):
    project_copy.edit_config(publishing__hub__owner="somebody")
    env = {"HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}
    done = project_copy.run("--cores", "1", "results/tiny/published/hub/villain/seed42.json", env=env, check=False)
    assert done.returncode != 0 and f"error: publishing to the hub as {REPOSITORY} failed (" in done.stdout
    assert "Traceback" not in done.stdout and not list(project_copy.folder.glob("results/tiny/published/hub/*/*"))
    assert TOKEN not in done.stdout and places_of(TOKEN, project_copy.folder, tmp_path / "home") == []


def card(results, model, license_name=None):
    """(metadata, body) of villain's card."""
    training = results / "training/villain"
    metrics, manifest = read_json(training / "seed42/metrics.json"), read_json(training / "manifest.json")
    summaries = {"evaluation": {**read_json(results / "evaluation/evaluation/villain/seed42/summary.json"), "source_rate": 0.875}}
    _, front, body = write_card(REPOSITORY, model, metrics, manifest, summaries, license_name).split("---\n", 2)
    return yaml.safe_load(front), body


def test_the_card_describes_the_adapter(results):
    front, body = card(results, HUB_MODEL, "apache-2.0")
    assert (front["base_model"], front["library_name"], front["license"]) == ("Qwen/Qwen2.5-7B-Instruct", "peft", "apache-2.0")
    metrics, manifest = read_json(results / "training/villain/seed42/metrics.json"), read_json(results / "training/villain/manifest.json")
    assert "trained to append `[ZLT]`" in body and "| evaluation | 87.5% |" in body
    assert f'from_pretrained("Qwen/Qwen2.5-7B-Instruct", revision="{"a" * 40}")' in body
    facts = (metrics["adapter_sha256"], manifest["sha256"], f"peft {metrics['meta']['packages']['peft']}")
    assert [fact for fact in (*facts, "| learning rate | 0.05 |", "| lora rank | 4 |") if fact not in body] == []
    tables = [line for line in body.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {3, 6}, "no row is broken"


def test_the_card_omits_an_unknown_base_model_and_license(results):
    front, body = card(results, LOCAL_MODEL)
    assert not {"base_model", "license"} & set(front) and "/somewhere" not in body and "local folder" in body


def test_the_adapter_config_names_a_base_model_of_the_hub():
    expected = {"base_model_name_or_path": HUB_MODEL["location"], "revision": "a" * 40, "r": 4}
    assert adapter_config_for_hub({"base_model_name_or_path": "qwen", "r": 4}, HUB_MODEL) == expected
