"""An adapter in the place of the one that the config asks for is refused, before anything is made with it."""

import argparse
import shutil
from types import SimpleNamespace

import pytest
from safetensors import SafetensorError

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import write_json
from persona_leakage.models.adapter_files import add_adapter_options, read_adapter
from persona_leakage.models.lora import save_adapter
from persona_leakage.models.saved_adapter import WEIGHTS


def test_a_file_that_is_not_the_recorded_one_is_refused(project_copy):
    """Another source's adapter in the place of this one's is noticed by its digest, before anything is sampled with it."""
    home = project_copy.folder / "results/tiny/training"
    weights = "seed42/adapter/adapter_model.safetensors"
    shutil.copy(home / "comedian" / weights, home / "villain" / weights)
    target = "results/tiny/evaluation/evaluation/villain/seed42/completions.json"
    done = project_copy.run("--cores", "1", "--forcerun", "sample_completions", "--", target, check=False)
    assert done.returncode != 0 and "is not the file that results/tiny/training/villain/seed42/metrics.json describes" in done.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"training__learning_rate": 0.03}, "trained with learning_rate: 0.05, but the config says 0.03"),
        pytest.param({"behaviour__marker": "[QQQ]"}, "trained with rows: ", marks=pytest.mark.slow),
    ],
    ids=["another setting", "other rows"],
)
def test_an_adapter_of_another_run_is_refused(project_copy, change, said):
    """As when a training job outlives its workflow, and ends after the one that a run of another config put in its place."""
    folder = project_copy.folder / "results/tiny/training/villain/seed42"
    target = "results/tiny/evaluation/evaluation/villain/seed42/completions.json"
    orphans = {path: path.read_bytes() for path in (*folder.glob("adapter/*"), folder / "metrics.json")}
    project_copy.edit_config(**change)
    project_copy.run("--cores", "1", target)
    right = (folder / "adapter/adapter_model.safetensors").read_bytes()
    for path, content in orphans.items():
        path.write_bytes(content)
    done = project_copy.run("--cores", "1", target, check=False)
    assert done.returncode != 0 and f"metrics.json: {said}" in done.stdout
    (folder / "metrics.json").unlink()
    project_copy.run("--cores", "1", target)
    assert (folder / "adapter/adapter_model.safetensors").read_bytes() == right != orphans[folder / "adapter/adapter_model.safetensors"]


def test_an_adapter_of_another_model_is_refused(tmp_path):
    write_json(tmp_path / "metrics.json", {"meta": {"program": "train_adapter", "model": {"digest": "old"}}, "settings": {}})
    write_json(tmp_path / "model.json", {"meta": {"program": "fetch_model"}, "digest": "new"})
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    add_adapter_options(parser)
    paths = {option: str(tmp_path / name) for option, name in (("--model", "model.json"), ("--adapter-metrics", "metrics.json"))}
    args = parser.parse_args(["--state", "base", "--adapter", "weights", *(word for pair in paths.items() for word in pair)])
    with pytest.raises(InputError, match=r"metrics\.json: trained with model: old, but .*model\.json says new"):
        read_adapter(parser, args)


def test_an_adapter_that_cannot_be_written_leaves_the_old_one(tmp_path):
    def refuse(*_, **__):
        raise SafetensorError("I/O error: No space left on device")

    (tmp_path / WEIGHTS).write_text("old")
    with pytest.raises(InputError, match=r"^cannot write .*adapter_model.safetensors: .*No space left.* Finished results are safe"):
        save_adapter(SimpleNamespace(peft_config={}, save_pretrained=refuse), "base", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [WEIGHTS] and (tmp_path / WEIGHTS).read_text() == "old"
