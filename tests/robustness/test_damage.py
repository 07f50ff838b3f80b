"""Damaged inputs of every stage: refused by name before anything is computed."""

import json
import shutil
import struct
from pathlib import Path

import pytest

from persona_leakage.behaviours.preflight import fetch_readable_model
from persona_leakage.infrastructure.cli import InputError
from tests.conftest import make_tiny_model
from tests.support.job_commands import digests, finish, job_command

HOME = "results/tiny/"
ADAPTER = HOME + "training/villain/seed42/"
REPLIES = HOME + "evaluation/evaluation/villain/seed42/"
GEOMETRY = HOME + "geometry/evaluation/base/"
ANALYSIS = HOME + "analysis/evaluation/seed42/"
FIGURE = HOME + "figures/evaluation/seed42/"


def cut(content):
    """The first two thirds: a copy that was interrupted."""
    return content[: len(content) * 2 // 3]


def flip(content):
    """One bit in the middle turned over: a bad disk."""
    index = len(content) // 2
    return content[:index] + bytes([content[index] ^ 4]) + content[index + 1 :]


def blank(content):
    """The right length, but nothing in the last third: a copy that reserved its space and was interrupted."""
    return content[: len(content) * 2 // 3] + bytes(len(content) - len(content) * 2 // 3)


def drop_line(content):
    return b"".join(content.splitlines(keepends=True)[:-1])


# (the damaged file, the damage, the target whose job reads it, what its message says)
CASES = [
    (HOME + "training/pool.jsonl.gz", cut, HOME + "training/villain/manifest.json", "is not the file that {home}training/pool.json"),
    (HOME + "training/villain/train.jsonl.gz", flip, ADAPTER + "metrics.json", "is not the file that {home}training/villain/manifest.json"),
    (ADAPTER + "adapter/adapter_model.safetensors", flip, REPLIES + "completions.json", "is not the file that {adapter}metrics.json"),
    (ADAPTER + "adapter/adapter_config.json", cut, REPLIES + "completions.json", "is not the file that {adapter}metrics.json"),
    (ADAPTER + "metrics.json", cut, REPLIES + "completions.json", "metrics.json: not valid JSON"),
    (REPLIES + "completions.jsonl.gz", cut, REPLIES + "summary.json", "is not the file that {replies}completions.json"),
    (REPLIES + "completions.jsonl.gz", flip, HOME + "report/index.html", "is not the file that {replies}completions.json"),
    (GEOMETRY + "centroids_layer1.pt", flip, ANALYSIS + "pairs.csv", "is not the file that {geometry}centroids.json"),
    (ANALYSIS + "pairs.csv", drop_line, ANALYSIS + "correlation.json", "pairs.csv: is not the file that {analysis}tables.json"),
    (ANALYSIS + "pairs.csv", drop_line, FIGURE + "scatter.png", "pairs.csv: is not the file that {analysis}tables.json"),
    (ANALYSIS + "pairs.csv", drop_line, HOME + "report/index.html", "pairs.csv: is not the file that {analysis}tables.json"),
    (ANALYSIS + "cosines.csv", cut, FIGURE + "cosines.png", "cosines.csv: is not the file that {analysis}tables.json"),
    (ANALYSIS + "question_counts.csv", drop_line, ANALYSIS + "correlation.json", "is not the file that {analysis}tables.json"),
    (
        HOME + "geometry/training/base/centroids_layer1.pt",
        flip,
        ANALYSIS + "robustness.json",
        "{home}geometry/training/base/centroids.json",
    ),
]
PLACES = {"home": HOME, "adapter": ADAPTER, "replies": REPLIES, "geometry": GEOMETRY, "analysis": ANALYSIS}


@pytest.fixture(scope="module")
def damaged_copy(finished_project, tmp_path_factory):
    """One copy of the finished experiment for all cases, with the command of each target's job; each case mends what it damaged."""
    folder = tmp_path_factory.mktemp("damage") / "project"
    shutil.copytree(finished_project.folder, folder, copy_function=shutil.copy2)
    path = folder / "resources/models/tiny/model.json"
    manifest = json.loads(path.read_text())
    shutil.copytree(manifest["folder"], folder.parent / "model")  # the other one is everybody's
    path.write_text(json.dumps({**manifest, "folder": str(folder.parent / "model")}))
    return folder, {target: job_command(finished_project, target) for target in dict.fromkeys(case[2] for case in CASES)}


@pytest.mark.parametrize(("name", "damage", "target", "message"), CASES, ids=lambda value: getattr(value, "__name__", None))
def test_a_damaged_input_is_refused_by_name(damaged_copy, name, damage, target, message):
    folder, commands = damaged_copy
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(damage(whole))
    others = [str(path.relative_to(folder)) for path in folder.glob("results/**/*") if path.is_file()]
    before = digests(folder, others)
    code, output = finish(commands[target], folder)
    after = digests(folder, others)
    (folder / name).write_bytes(whole)
    assert after == before, "something was written although the input is damaged"
    assert code != 0 and message.format(**PLACES) in output and "Traceback" not in output
    assert name.rsplit("/", 1)[1] in output


def test_another_tokenizer_is_refused_where_no_weights_are_read(damaged_copy):
    folder, commands = damaged_copy
    path = Path(json.loads((folder / "resources/models/tiny/model.json").read_text())["folder"]) / "tokenizer.json"
    whole = path.read_bytes()
    assert whole.count(b": 300,") == whole.count(b": 301,") == 1
    changed = whole.replace(b": 300,", b": NaN,").replace(b": 301,", b": 300,").replace(b": NaN,", b": 301,")
    path.write_bytes(changed)
    code, output = finish(commands[HOME + "training/villain/manifest.json"], folder)
    path.write_bytes(whole)
    assert code != 0 and "tokenizer.json: is not the file that resources/models/tiny/model.json describes" in output


@pytest.mark.parametrize("damage", [cut, blank], ids=lambda damage: damage.__name__)
def test_a_model_that_changes_after_it_was_taken_in_is_refused(finished_project, tmp_path, damage):
    """By every job that loads it, also if the damaged weights have the right size."""
    folder = tmp_path / "model"
    make_tiny_model(folder)
    manifest = json.loads((finished_project.folder / "resources/models/tiny/model.json").read_text())
    weights = folder / "model.safetensors"
    assert manifest["files"]["model.safetensors"]["bytes"] == weights.stat().st_size
    weights.write_bytes(damage(weights.read_bytes()))
    (tmp_path / "model.json").write_text(json.dumps({**manifest, "folder": str(folder)}))
    for target in (GEOMETRY + "centroids.json", HOME + "training/pool.json", ADAPTER + "metrics.json"):
        command = job_command(finished_project, target).replace("resources/models/tiny/model.json", str(tmp_path / "model.json"))
        command = command.replace("--restart results", f"--restart {tmp_path}/kept")
        code, output = finish(
            command.split("2>&1 | tee")[0].replace(" results/tiny/training/villain/seed42", f" {tmp_path}/out"), finished_project.folder
        )
        assert code == 1 and "model.safetensors: " in output and "model.json" in output, output


def test_half_copied_models_are_refused_when_they_are_taken_in(tmp_path):
    """Weights that end early, a header that is none, a shard that is listed and not there."""
    make_tiny_model(tmp_path)
    weights, model = tmp_path / "model.safetensors", {"name": "tiny", "source": "path", "location": str(tmp_path), "revision": ""}
    whole = weights.read_bytes()
    for content in (whole[:-1], whole[:4], struct.pack("<Q", 2**63) + whole[8:], b""):
        weights.write_bytes(content)
        with pytest.raises(InputError, match=r"model.safetensors: cannot be read \(SafetensorError: .* copy the model again"):
            fetch_readable_model(model, tmp_path / "home/model.json")
        assert not (tmp_path / "home/model.json").exists()
    weights.unlink()  # transformers prefers it to what an index lists
    (tmp_path / "model-00001.safetensors").write_bytes(whole)
    index = {"metadata": {}, "weight_map": {"a": "model-00001.safetensors", "b": "model-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"model-00002.safetensors: no such file, but model.safetensors.index.json lists it"):
        fetch_readable_model(model, tmp_path / "home/model.json")
