"""The workflow as a whole: a finished tiny experiment, and exactly which jobs a change makes stale."""

import json
import re
import subprocess

import pandas as pd
import pytest
import yaml
from scipy import stats

from persona_leakage.behaviours.preflight import fetch_readable_model
from persona_leakage.infrastructure.cli import InputError
from tests.conftest import CONFIG, Project, make_tiny_project, warm_python
from tests.support.job_commands import digests


def read(path):
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def results(finished_project):
    return finished_project.folder / "results/tiny"


def test_counts_add_up(results):
    for state in ("villain/seed42", "comedian/seed42", "base"):
        cells = read(results / f"evaluation/evaluation/{state}/marker_eval.json")["personas"]
        assert list(cells) == ["villain", "comedian", "assistant", "pirate", "nurse", "hero"]
        for cell in cells.values():
            assert cell["total"] == 4 == sum(question["total"] for question in cell["per_question"].values())
            assert cell["found"] == sum(question["found"] for question in cell["per_question"].values()) == round(cell["rate"] * 4)


def test_correlations_are_those_of_the_table(results):
    table = pd.read_csv(results / "analysis/evaluation/seed42/pairs.csv")
    assert len(table) == 2 * 2 * 5
    layers = read(results / "analysis/evaluation/seed42/correlation.json")["layers"]
    for layer, block in layers.items():
        for source, found in block["per_source"].items():
            rows = table[(table["layer"] == int(layer)) & (table["source"] == source)]
            assert found["n"] == len(rows) == 5 and source not in set(rows["persona"])
            if found["undefined"] is None:
                assert found["spearman_rho"] == pytest.approx(stats.spearmanr(rows["cosine"], rows["rate"]).statistic)
            else:
                assert rows["rate"].nunique() == 1


def test_results_say_where_they_come_from(results):
    manifest = read(results.parents[1] / "resources/models/tiny/model.json")
    metrics = read(results / "training/villain/seed42/metrics.json")
    summary = read(results / "evaluation/evaluation/villain/seed42/summary.json")
    correlation = read(results / "analysis/evaluation/seed42/correlation.json")
    for content in (metrics, summary, correlation):
        assert content["meta"]["schema_version"] == 1 and content["meta"]["packages"]["python"]
        assert content["meta"]["model"]["digest"] == manifest["digest"]
    assert summary["meta"]["adapter_sha256"] == metrics["adapter_sha256"]
    assert summary["meta"]["engine"]["name"] == "transformers" and summary["meta"]["sampling_seed"] == 0
    assert "block L" in correlation["meta"]["layer_convention"]
    assert yaml.safe_load((results / "run_config.yaml").read_text())["config"]["experiment"] == "tiny"


def test_training_set_is_what_the_manifest_says(results):
    manifest = read(results / "training/villain/manifest.json")
    assert len(manifest["negatives"]) == 1 and "villain" not in manifest["negatives"]
    assert manifest["rows"]["positive"]["rows"] == manifest["answers"]["villain"]["used"]
    assert manifest["rows"]["positive"]["trained_tokens"] > manifest["rows"]["negative"]["trained_tokens"] > 0


def test_closing_table_and_row_viewer(finished_project, results):
    def program(*arguments):
        return subprocess.run([warm_python(), *arguments], cwd=finished_project.folder, capture_output=True, text=True, check=True).stdout

    table = program("workflow_scripts/show_results.py")
    assert re.search(r"villain \* +\d+\.\d % +\d+\.\d %", table) and "(base model)" in table and "results/tiny/figures" in table
    rows = program(
        "workflow_scripts/show_rows.py", str(results / "training/villain/train.jsonl.gz"), "--model", "resources/models/tiny/model.json"
    )
    assert rows.count("⟦") > 8 and "positive, villain" in rows and "negative, " in rows and "⟦<|im_end|>⟧" in rows


def test_snakemakes_own_report_has_the_figures(project_copy):
    """With captions and categories; made from what is there, without a job."""
    log = project_copy.run("--report", "snakemake.html").stdout
    assert "Report created" in log
    page = (project_copy.folder / "snakemake.html").read_text()
    for name in ("scatter", "layers", "cosines", "replies", "training"):
        assert f"{name}.png" in log and f"{name}.png" in page


def test_jobs_that_use_a_gpu_start_through_the_lease(finished_project):
    """Every rule with a GPU among its resources; the log's first line says which device it got, if there is one."""
    rules = "".join(path.read_text() for path in (finished_project.folder / "rules").glob("*.smk"))
    logs = [
        "sample_training_pool.log",
        *(f"train_adapter/{source}/seed42.log" for source in ("villain", "comedian")),
        *(f"sample_completions/evaluation/{state}.log" for state in ("base", "villain/seed42", "comedian/seed42")),
        "extract_centroids/evaluation.log",
    ]
    assert rules.count(" gpu=") == rules.count("with_gpu.py --gpus {resources.gpu}") >= 4
    for log in logs:
        assert (finished_project.folder / "logs/tiny" / log).read_text().startswith("with_gpu: "), log


@pytest.mark.slow
def test_jobs_that_are_new_pythons_give_the_same_bytes(finished_project, tiny_model, tmp_path):
    """As outside of the tests, where no job is a fork of a Python that has its packages imported."""
    project = make_tiny_project(tmp_path / "project", tiny_model.parent)
    project.run("--cores", "2", cold=True)
    results = "results/tiny"
    files = [path.relative_to(project.folder) for path in (project.folder / results).rglob("*.*")]
    same = [path for path in files if path.suffix in (".gz", ".safetensors", ".csv", ".pt") and "restart" not in path.parts]
    assert len(same) > 10
    assert digests(project.folder, same) == digests(finished_project.folder, same)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"geometry__layers": [1, 9], "geometry__headline_layer": 1},
            "geometry.layers: 9 is not a block of this model, which has blocks 0 to 3",
        ),
        ({"behaviour": {"separator": "you", "marker": "said", "match_mode": "literal"}}, "choose a separator that stays apart"),
        ({"personas__file": "short.yaml"}, "personas.file: prompts must be 6 to 30 tokens long: pirate ("),
    ],
)
def test_what_only_the_model_can_tell_is_checked_before_a_result_is_replaced(project_copy, changes, message):
    def state():
        return {path: path.stat().st_mtime_ns for path in (project_copy.folder / "results").rglob("*") if path.is_file()}

    text = (project_copy.folder / "resources/personas.yaml").read_text()
    (project_copy.folder / "short.yaml").write_text(re.sub(r'"Arr! .*"', '"Be a pirate."', text))
    before = state()
    project_copy.edit_config(**changes)
    done = project_copy.run("--cores", "2", check=False)
    assert done.returncode != 0 and message in done.stdout
    assert state() == before


@pytest.fixture(scope="module")
def guard(tmp_path_factory):
    """A folder for PYTHONPATH that makes importing a heavy package, and any network connection, an error."""
    folder = tmp_path_factory.mktemp("guard")
    (folder / "sitecustomize.py").write_text(
        "import socket, sys\n"
        "class Guard:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'transformers', 'peft', 'matplotlib', 'huggingface_hub'):\n"
        "            raise RuntimeError('imported ' + name)\n"
        "sys.meta_path.insert(0, Guard())\n"
        "def refuse(*args):\n"
        "    raise RuntimeError('network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
    )
    return {"PYTHONPATH": str(folder)}


BIG = {
    "experiment": "big",
    "personas": {"sources": ["villain", "comedian", "assistant", "software_engineer", "kindergarten_teacher"], "panel": "all"},
    "questions": {"evaluation": [{"set": "evaluation", "count": 20}]},
}


@pytest.mark.parametrize(
    ("target", "extra", "adapters"),
    [
        ("all", BIG, 5),
        ("centroids", {}, 3),
        *(
            pytest.param(target, {}, 3, marks=pytest.mark.slow)
            for target in ("adapters", "evaluations", "correlations", "figures", "scatter")
        ),
    ],
)
def test_a_dry_run_needs_neither_torch_nor_network(tmp_path, guard, extra, adapters, target):
    project = Project(tmp_path / "project")
    (tmp_path / "extra.yaml").write_text(yaml.safe_dump(extra))
    output = project.run(
        "-n", "--quiet", "rules", "--configfile", "config.yaml", str(tmp_path / "extra.yaml"), "--", target, env=guard
    ).stdout
    jobs = dict(re.findall(r"^(\w+) +(\d+) *$", output, re.M))
    assert jobs["fetch_model"] == "1"
    assert jobs.get("train_adapter", "0") == ("0" if target == "centroids" else str(adapters))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training__learning_rate": "1e-4"}, "training.learning_rate: '1e-4' must be a number; YAML reads this as text"),
        ({"personas__sources": ["vilain"]}, "personas.sources: 'vilain' is not a persona of resources/personas.yaml"),
        ({"model__source": "path", "model__location": "/no/such/folder"}, "model.location: '/no/such/folder' is not a folder"),
        ({"personas__file": "resources/people.yaml"}, "resources/people.yaml: no such file"),
    ],
)
def test_a_bad_config_stops_before_anything_is_written(tmp_path, changes, message):
    project = Project(tmp_path / "project")
    project.edit_config(**changes)
    done = project.run("--cores", "1", check=False)
    assert done.returncode != 0 and message in done.stdout and "Traceback" not in done.stdout
    assert not any((project.folder / name).exists() for name in ("results", "logs", "resources/models"))


def test_a_missing_program_is_an_error_although_outputs_exist(project_copy):
    (project_copy.folder / "workflow_scripts/persona_leakage/figures/scatter.py").unlink()
    done = project_copy.run("-n", check=False)
    assert done.returncode != 0 and "no such program" in done.stdout


def test_an_offline_machine_is_told_what_to_do(tmp_path, monkeypatch):
    model = {"name": "qwen", "source": "hub", "location": "Qwen/Qwen2.5-7B-Instruct", "revision": "a" * 40}
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"(?s)cannot download Qwen/Qwen2.5-7B-Instruct.*offline machine.*model.source: path"):
        fetch_readable_model(model, tmp_path / "qwen/model.json")
    assert not (tmp_path / "qwen/model.json").exists()


def test_a_bundled_file_must_have_its_digest(tmp_path):
    with pytest.raises(InputError, match=r"has SHA-256 b179c952.*expected 0000"):
        fetch_readable_model({**CONFIG["model"], "revision": "0" * 64}, tmp_path / "model.json")
