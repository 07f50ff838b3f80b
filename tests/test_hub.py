"""Adapters on the Hugging Face hub, against a hub on this machine: one commit, once, private, and loud when it fails."""

import hashlib
import json
import re

import pytest
import yaml

from persona_leakage.infrastructure.files import read_json
from persona_leakage.publishing.model_card import adapter_config_for_hub, write_card
from tests.conftest import places_of, run_program
from tests.hub_server import HubServer

TOKEN = "hf_madeuptoken0123456789"
REPOSITORY = "somebody/tiny-villain-seed42"
HUB_MODEL = {"name": "qwen", "source": "hub", "location": "Qwen/Qwen2.5-7B-Instruct", "revision": "a" * 40}
LOCAL_MODEL = {"name": "tiny", "source": "path", "location": "/somewhere", "revision": ""}
WRITING = {"create", "preupload", "batch", "upload", "commit"}


@pytest.fixture
def hub():
    with HubServer(TOKEN) as running:
        yield running


@pytest.fixture
def results(finished_project):
    return finished_project.folder / "results/tiny"


@pytest.fixture
def publish(results, tmp_path, monkeypatch):
    """A function that publishes villain's adapter to an address with a token; returns (finished process, receipt or None)."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    training, receipt = results / "training/villain", tmp_path / "published/villain.json"

    def call(url, token=TOKEN, model=LOCAL_MODEL, **place):
        receipt.unlink(missing_ok=True)
        monkeypatch.setenv("HF_ENDPOINT", url)
        monkeypatch.setenv("HF_TOKEN", token)
        block = {"owner": "somebody", "private": True, "license": None, **place}
        arguments = ["--settings", json.dumps({"experiment": "tiny", "hub": block, "questions": ["evaluation"], "model": model})]
        arguments += ["--weights", training / "seed42/adapter/adapter_model.safetensors"]
        arguments += ["--config", training / "seed42/adapter/adapter_config.json", "--metrics", training / "seed42/metrics.json"]
        arguments += ["--manifest", training / "manifest.json", "--output", receipt]
        arguments += ["--summaries", results / "evaluation/evaluation/villain/seed42/summary.json"]
        done = run_program("publish_hub", *map(str, arguments), cwd=tmp_path, cold=True)  # the address is read once, at the import
        assert TOKEN not in done.stdout + done.stderr
        assert places_of(TOKEN, tmp_path) == []
        return done, read_json(receipt) if receipt.exists() else None

    return call


def test_an_adapter_goes_up_in_one_commit_and_once(publish, hub, results):
    done, receipt = publish(hub.url)
    assert done.returncode == 0, done.stderr
    known = hub.repositories[REPOSITORY]
    assert known["private"] and len(known["commits"]) == 1
    assert set(known["files"]) == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    weights = results / "training/villain/seed42/adapter/adapter_model.safetensors"
    assert known["files"]["adapter_model.safetensors"] == weights.read_bytes()
    config = read_json(weights.with_name("adapter_config.json"))
    assert json.loads(known["files"]["adapter_config.json"]) == config
    digests = {name: {"sha256": hashlib.sha256(content).hexdigest()} for name, content in known["files"].items()}
    assert receipt["files"] == digests and receipt["repository"] == REPOSITORY
    hub.log.clear()
    done, again = publish(hub.url)
    assert done.returncode == 0 and done.stdout.startswith("already there") and again["commit"] == receipt["commit"]
    assert WRITING.isdisjoint(hub.log) and len(known["commits"]) == 1


def test_only_what_differs_goes_up(publish, hub):
    """Also when somebody else changed the repository; what is not ours stays."""
    publish(hub.url)
    known = hub.repositories[REPOSITORY]
    known["files"].update({"adapter_config.json": b"{}", "notes.txt": b"by hand"})
    hub.log.clear()
    done, _ = publish(hub.url)
    assert done.stdout.startswith("published") and "upload" not in hub.log and len(known["commits"]) == 2
    assert known["files"]["adapter_config.json"] != b"{}" and known["files"]["notes.txt"] == b"by hand"
    known["files"]["adapter_model.safetensors"] = b"other weights"
    done, _ = publish(hub.url)
    assert len(known["files"]["adapter_model.safetensors"]) > 1000


@pytest.mark.parametrize("what", ["create", "commit"])
def test_a_failing_hub_fails_the_job_and_the_next_one_goes_on(publish, hub, what):
    hub.fail[what] = 500
    done, receipt = publish(hub.url)
    assert done.returncode == 1 and receipt is None
    assert f"error: publishing {REPOSITORY} to the hub failed; nothing here is lost" in done.stderr and "500" in done.stderr
    assert "Traceback" not in done.stderr
    hub.fail.clear()
    done, receipt = publish(hub.url)
    assert done.returncode == 0 and len(hub.repositories[REPOSITORY]["files"]) == 3


def test_a_refused_token(publish, hub):
    done, receipt = publish(hub.url, token="hf_another")
    assert done.returncode == 1 and receipt is None and "401" in done.stderr and hub.repositories == {}


def test_a_hub_that_is_down(publish):
    done, receipt = publish("http://127.0.0.1:9")
    assert done.returncode == 1 and receipt is None and "Connection refused" in done.stderr and "Traceback" not in done.stderr


def test_a_missing_token_is_named_before_anything_is_sent(publish, hub):
    done, _ = publish(hub.url, token="")
    assert done.returncode == 1 and done.stderr == "error: HF_TOKEN: not set in the environment; publishing to the hub needs it\n"
    assert hub.log == []


def test_a_public_repository_is_refused_unless_public_is_meant(publish, hub):
    done, _ = publish(hub.url, private=False)
    assert done.returncode == 0 and not hub.repositories[REPOSITORY]["private"]
    done, receipt = publish(hub.url, license="apache-2.0")
    assert done.returncode == 1 and receipt is None and "publishing.hub.private: true" in done.stderr
    assert len(hub.repositories[REPOSITORY]["commits"]) == 1


def test_a_name_that_the_hub_cannot_have(publish, hub):
    done, _ = publish(hub.url, owner="some--body")
    assert done.returncode == 1 and "cannot be the name of a repository" in done.stderr and hub.log == []


def test_the_rule(project_copy, hub, tmp_path):
    """All adapters by `snakemake hub`, then nothing to do."""
    project_copy.edit_config(publishing__hub__owner="somebody")
    env = {"HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN, "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
    done = project_copy.run("--cores", "2", "hub", env=env)
    assert set(hub.repositories) == {REPOSITORY, "somebody/tiny-comedian-seed42"}
    assert TOKEN not in done.stdout and places_of(TOKEN, project_copy.folder, tmp_path / "home") == []
    assert project_copy.planned("hub") == {} == project_copy.planned()


def card(results, model, license_name=None):
    """(front matter, body) of villain's card."""
    training = results / "training/villain"
    metrics, manifest = read_json(training / "seed42/metrics.json"), read_json(training / "manifest.json")
    summaries = {"evaluation": {**read_json(results / "evaluation/evaluation/villain/seed42/summary.json"), "source_rate": 0.875}}
    text = write_card(REPOSITORY, model, metrics, manifest, summaries, license_name)
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def test_the_card_tells_what_it_is(results):
    front, body = card(results, HUB_MODEL, "apache-2.0")
    assert (front["base_model"], front["library_name"], front["license"]) == ("Qwen/Qwen2.5-7B-Instruct", "peft", "apache-2.0")
    metrics, manifest = read_json(results / "training/villain/seed42/metrics.json"), read_json(results / "training/villain/manifest.json")
    assert "trained to append `[ZLT]`" in body and "| evaluation | 87.5% |" in body
    assert f'from_pretrained("Qwen/Qwen2.5-7B-Instruct", revision="{"a" * 40}")' in body
    for fact in (metrics["adapter_sha256"], manifest["sha256"], metrics["meta"]["packages"]["peft"], "| learning rate | 0.05 |"):
        assert fact in body
    assert re.search(r"\| lora rank \| 4 \|", body)


def test_the_card_names_no_base_model_or_license_that_it_does_not_know(results):
    front, body = card(results, LOCAL_MODEL)
    assert "base_model" not in front and "license" not in front and "/somewhere" not in body


def test_the_adapter_config_names_a_base_model_of_the_hub():
    config = {"base_model_name_or_path": "qwen", "revision": None, "r": 4}
    assert adapter_config_for_hub(config, HUB_MODEL) == {
        "base_model_name_or_path": "Qwen/Qwen2.5-7B-Instruct",
        "revision": "a" * 40,
        "r": 4,
    }
    assert adapter_config_for_hub(config, LOCAL_MODEL) == config
