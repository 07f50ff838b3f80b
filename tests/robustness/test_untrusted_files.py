"""Files that somebody else could have made: none of them runs code, and a damaged one is named or left aside."""

import json
import os
import pickle
import shutil

import pytest
import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file

from persona_leakage.behaviours.preflight import check_against_model, fetch_readable_model
from persona_leakage.config.personas import read_yaml
from persona_leakage.geometry.centroid_files import read_centroids
from persona_leakage.geometry.prompt_similarity import embedding_similarities
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.tensor_files import read_tensors
from persona_leakage.models.loading import load_model, read_manifest
from persona_leakage.models.lora import load_adapter
from persona_leakage.training.loop import load_checkpoint
from tests.conftest import CONFIG, Project, run_program


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


CONTENT = {"layer": 1, "personas": ["a"], "prompt_tokens": [6], "centroids": torch.ones(1, 4)}


def harmful(path, proof):
    torch.save({**CONTENT, "more": Harmful(proof)}, path)


def bare_pickle(path, proof):
    path.write_bytes(pickle.dumps(Harmful(proof)))


def cut(path, proof):
    torch.save(CONTENT, path)
    path.write_bytes(path.read_bytes()[:-40])


def empty(path, proof):
    path.write_bytes(b"")


def another_thing(path, proof):
    torch.save([1, 2, 3], path)


DAMAGE = {
    harmful: "holds more than tensors and plain values",
    bare_pickle: "holds more than tensors and plain values",
    cut: "not a whole file of tensors",
    empty: "not a whole file of tensors",
    another_thing: "must hold layer, personas",
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_bad_tensor_file_is_named_and_runs_nothing(tmp_path, damage):
    path, proof = tmp_path / "centroids_layer1.pt", tmp_path / "proof"
    damage(path, proof)
    with pytest.raises(InputError, match=f"centroids_layer1.pt: {DAMAGE[damage]}.*; delete it and rerun"):
        read_tensors(path, *CONTENT)
    assert not proof.exists()


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (torch.tensor([[1.0, 2.0], [1.0, float("nan")]]), "the centroid of 'b' has values that are not finite"),
        (torch.tensor([[float("inf"), 2.0], [1.0, 2.0]]), "the centroid of 'a' has values that are not finite"),
        (torch.ones(3, 2), r"the centroids have the shape \[3, 2\], for the personas \['a', 'b'\]"),
        (torch.ones(2, 0), r"the centroids have the shape \[2, 0\]"),
        (torch.ones(2), r"centroids must be a tensor \[personas, hidden\]"),
    ],
)
def test_centroids_that_are_none_are_refused(tmp_path, vectors, message):
    torch.save({"layer": 1, "personas": ["a", "b"], "centroids": vectors}, tmp_path / "centroids.pt")
    with pytest.raises(InputError, match=f"centroids.pt: {message}"):
        read_centroids(tmp_path / "centroids.pt")


@pytest.mark.parametrize("damage", [harmful, cut, another_thing], ids=lambda damage: damage.__name__)
def test_a_bad_checkpoint_is_left_aside(tmp_path, capsys, damage):
    """Restart state is worth an effort, not a stop: it says so and restores nothing of it (None would fail to load anything)."""
    path, proof, history = tmp_path / "checkpoint.pt", tmp_path / "proof", {"loss": []}
    damage(path, proof)
    assert load_checkpoint(path, None, None, None, history) == 0
    assert "training restarts at step 0" in (printed := capsys.readouterr().out) and "checkpoint.pt" in printed
    assert history == {"loss": []} and not proof.exists()


def test_an_adapter_that_is_no_safetensors_is_refused(finished_project, tmp_path):
    """Not even with the weights that training made; peft itself would take them from adapter_model.bin."""
    adapter = finished_project.folder / "results/tiny/training/villain/seed42/adapter"
    shutil.copy(adapter / "adapter_config.json", tmp_path)
    weights = load_file(adapter / "adapter_model.safetensors")
    torch.save(weights, tmp_path / "adapter_model.bin")
    model = load_model(read_manifest(finished_project.folder / "resources/models/tiny/model.json"), torch.float32, "cpu")
    for merge in (True, False):
        with pytest.raises(InputError, match=r"has no adapter_model.safetensors; adapters are read from no other format"):
            load_adapter(model, tmp_path, merge)
    taken = get_peft_model_state_dict(PeftModel.from_pretrained(model, tmp_path))
    assert taken.keys() == weights.keys() and all(torch.equal(taken[name], weights[name]) for name in weights)


def without_safetensors(folder, proof):
    (folder / "model.safetensors").unlink()
    torch.save({"x": Harmful(proof)}, folder / "pytorch_model.bin")


def with_code_in(name):
    """Lets a JSON file of a model ask for a class of the folder's own, whose import makes a file."""

    def spoil(folder, proof):
        (folder / "own.py").write_text(f"import os\nos.mkdir({str(proof)!r})\nclass Own: pass\n")
        content = json.loads((folder / name).read_text())
        content["auto_map"] = {key: "own.Own" for key in ("AutoConfig", "AutoModel", "AutoModelForCausalLM", "AutoTokenizer")}
        (folder / name).write_text(json.dumps(content | {"model_type": "own"}))

    return spoil


BAD_MODELS = {
    "weights that are a pickle": (without_safetensors, r"config.json and \*.safetensors; pytorch_model.bin can run code"),
    "a config with code": (with_code_in("config.json"), r"config.json asks for code of the model's own \(auto_map\)"),
    "a tokenizer with code": (with_code_in("tokenizer_config.json"), r"tokenizer_config.json asks for code of the model's own"),
}


@pytest.mark.parametrize(("spoil", "message"), BAD_MODELS.values(), ids=BAD_MODELS)
def test_a_model_folder_that_could_run_code_is_refused(tiny_model, tmp_path, spoil, message):
    folder, proof = tmp_path / "model", tmp_path / "proof"
    shutil.copytree(tiny_model.parent, folder)
    spoil(folder, proof)
    with pytest.raises(InputError, match=f"^model.location: .*{message}"):
        fetch_readable_model({"name": "bad", "source": "path", "location": str(folder), "revision": ""}, tmp_path / "home/model.json")
    with pytest.raises(InputError, match=f"^analysis.embedding_model: .*{message}"):
        embedding_similarities(str(folder), ["a text"])
    with pytest.raises(InputError, match=f"^analysis.embedding_model: .*{message}"):  # and before any job
        check_against_model({**CONFIG, "analysis": {**CONFIG["analysis"], "embedding_model": str(folder)}}, [], {}, tmp_path / "none")
    assert not proof.exists() and not (tmp_path / "home/model.json").exists()


def test_a_chat_template_cannot_reach_python(tiny_model, tmp_path):
    """transformers renders templates in a sandbox; what breaks out of it is the template's fault, in one line."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model.parent, folder)
    template = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    for path in folder.glob("chat_template*"):
        path.write_text(template)
    with pytest.raises(InputError, match=r"chat template .*unsafe"):
        fetch_readable_model({"name": "bad", "source": "path", "location": str(folder), "revision": ""}, tmp_path / "home/model.json")


BAD_YAML = {
    "python object": "personas: !!python/object/apply:os.mkdir [proof]\n",
    "python name": "sets: !!python/name:os.system\n",
    "endless number": "personas: " + "9" * 5000,
    "date that is none": "personas: 2024-13-45",
    "too deep": "personas: " + "[" * 3000,
    "truth value that is none": "personas: !!bool perhaps",
}


@pytest.mark.parametrize("text", BAD_YAML.values(), ids=BAD_YAML)
def test_yaml_makes_nothing_but_plain_values(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(InputError, match=r"^bad.yaml: not valid YAML: ."):
        read_yaml("bad.yaml")
    assert not (tmp_path / "proof").exists()


BAD_CONFIGS = {
    "python object": ("experiment: !!python/object/apply:os.mkdir [proof]", "mine.yaml: not valid YAML: could not"),
    "template": (
        "__use_yte__: true\nexperiment: ?__import__('os').mkdir('proof')",
        "mine.yaml: __use_yte__ makes it a template that runs code",
    ),
    "key twice": ("experiment: one\nexperiment: two", "mine.yaml: not valid YAML: key 'experiment' appears twice"),
}


@pytest.mark.parametrize(("text", "message"), BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_a_config_is_plain_values(tmp_path, text, message):
    project = Project(tmp_path / "project")
    (project.folder / "mine.yaml").write_text(text)
    done = project.run("-n", "--configfile", "mine.yaml", check=False)
    assert done.returncode == 1 and message in done.stdout and "Traceback" not in done.stdout
    assert not (project.folder / "proof").exists()


def test_a_plan_reads_a_template_without_running_it(tmp_path):
    (tmp_path / "mine.yaml").write_text("__use_yte__: true\nexperiment: ?__import__('os').mkdir('proof')\n")
    done = run_program("plan_run", "--config", "mine.yaml", cwd=tmp_path)
    assert done.returncode == 1 and "mine.yaml: __use_yte__ makes it a template" in done.stderr and not (tmp_path / "proof").exists()
