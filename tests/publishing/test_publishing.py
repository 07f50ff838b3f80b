"""Publishing to W&B: only on demand, offline without network, and what a run holds."""

import json
from contextlib import nullcontext

import publish_wandb
import pytest
import wandb
import yaml

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json, sha256_of_file
from persona_leakage.publishing.common import client_version, describe_files
from tests.conftest import Project, places_of

KEY = "0123456789abcdef" * 3
FILES = ["evaluation/evaluation/villain/seed42/completions.jsonl.gz", "training/villain/manifest.json"]


@pytest.mark.slow
def test_nothing_is_published_unless_asked_for(project_copy, tmp_path):
    fresh = Project(tmp_path / "fresh").planned("all")
    assert fresh["train_adapter"] == 3 and not [rule for rule in fresh if "publish" in rule or rule in ("wandb", "hub")]
    done = project_copy.run("-n", "hub", check=False)
    assert done.returncode != 0 and "publishing.hub.owner: null; give the user or organization" in done.stdout
    project_copy.edit_config(publishing__wandb__project="elsewhere", publishing__hub__owner="somebody")
    assert project_copy.planned() == {}, "publishing does not change results"
    assert project_copy.planned("wandb") == {"publish_wandb": 2, "publish_wandb_experiment": 1, "wandb": 1}
    assert project_copy.planned("hub") == {"publish_hub": 2, "hub": 1}
    run_config = yaml.safe_load((project_copy.folder / "results/tiny/run_config.yaml").read_text())
    assert "publishing" not in run_config["config"]


def test_offline_runs(project_copy, tmp_path):
    """The workflow writes run folders and the files to upload; no file holds the key; only changed results are stale."""
    printed = project_copy.run("--cores", "2", "wandb", env={"WANDB_API_KEY": KEY, "HOME": str(tmp_path / "home")}).stdout
    home = project_copy.folder / "results/tiny"
    for name in ("villain/seed42", "experiment"):
        receipt = read_json(home / f"published/wandb/{name}.json")
        folder = project_copy.folder / receipt["run_folder"]
        assert b"bystander" in (folder / f"run-{receipt['run']['id']}.wandb").read_bytes()
        staged = {sha256_of_file(path) for path in (folder.parents[1] / "artifacts/staging").iterdir()}
        assert staged == {facts["sha256"] for facts in receipt["files"].values()}
        assert receipt["to_upload"] == f"wandb sync {receipt['run_folder']}"
    names = {name.split("/")[-1] for name in receipt["files"]}
    assert {"pairs.csv", "correlation.json", "centroids_layer3.pt", "completions.jsonl.gz", "index.html"} <= names
    assert KEY not in printed and places_of(KEY, project_copy.folder, tmp_path / "home") == []
    assert project_copy.planned("wandb") == {}
    report = project_copy.folder / "workflow_scripts/persona_leakage/reporting/report.py"
    report.write_text(report.read_text() + "\nedited = 1\n")
    assert project_copy.planned("wandb") == {"build_report": 1, "publish_wandb_experiment": 1, "wandb": 1}


class OpenRun(nullcontext):
    """What wandb.init returns, as a recorder; the server already has ``starting_step`` steps."""

    def __init__(self, starting_step, options):
        super().__init__(self)
        self.starting_step, self.options = starting_step, options
        self.history, self.summary, self.entity, self.url, self.settings = [], {}, "tester", "https://host/run", None

    def log(self, figures, step):
        self.history.append((step, figures["train/loss"]))

    def log_artifact(self, artifact):
        self.files = {name: entry.digest for name, entry in artifact.manifest.entries.items()}


@pytest.fixture
def publish(finished_project, tmp_path, monkeypatch):
    """A function that publishes villain's adapter online with wandb.init replaced; returns (run, receipt)."""
    home, output, runs = finished_project.folder / "results/tiny", tmp_path / "runs/villain.json", []
    block = {"project": "persona-leakage", "entity": None, "mode": "online"}
    settings = json.dumps({"experiment": "tiny", "questions": ["evaluation"], "wandb": block})
    arguments = ["--settings", settings, "--source", "villain", "--seed", "42", "--results", home, "--run-folders", tmp_path / "runs"]
    arguments += ["--files", *(home / name for name in FILES), "--output", output]
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_DATA_DIR", "")  # restored afterwards
    monkeypatch.setattr(wandb.Artifact, "wait", lambda self: self)

    def call(starting_step=0, error=None):
        def init(**options):
            if error:
                raise error
            runs.append(OpenRun(starting_step, options))
            return runs[-1]

        monkeypatch.setattr(wandb, "init", init)
        publish_wandb.main([*map(str, arguments)])
        return runs[-1], read_json(output)

    return call


def test_an_adapter_run_holds_figures_and_files(publish, finished_project):
    run, receipt = publish()
    home = finished_project.folder / "results/tiny"
    assert run.history == list(enumerate(read_json(home / "training/villain/seed42/metrics.json")["loss"]))
    rate = read_json(home / "evaluation/evaluation/villain/seed42/summary.json")["mean_bystander_rate"]
    assert run.summary["evaluation"]["evaluation"]["mean_bystander_rate"] == rate
    assert list(run.files) == list(receipt["files"]) == FILES
    assert receipt["files"][FILES[0]]["sha256"] == sha256_of_file(home / FILES[0])
    assert receipt["run"] == {"id": run.options["id"], "project": "persona-leakage", "entity": "tester"}
    assert receipt["url"] == run.url and run.options["config"]["training"]["epochs"] == 8


def test_an_interrupted_upload_resumes_its_run(publish):
    first, _ = publish()
    second, _ = publish(starting_step=10)
    assert (second.options["id"], second.options["resume"]) == (first.options["id"], "allow")
    assert second.history == first.history[10:]


def test_a_failed_upload_is_one_line_and_no_receipt(publish, tmp_path):
    with pytest.raises(InputError, match=r"^publishing to W&B failed \(ValueError: bad gateway\)\. Finished results are safe"):
        publish(error=ValueError("bad gateway\nmore"))
    assert list(tmp_path.glob("runs/*.json")) == []
    publish()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["villain.json"], "an uploaded run leaves nothing but its receipt"


def test_keys_come_from_the_environment(publish, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", " ")
    with pytest.raises(InputError, match=r"WANDB_API_KEY: not set in the environment; publishing\.wandb\.mode: online needs it"):
        publish()


def test_a_missing_client_is_named():
    with pytest.raises(InputError, match="no-such-client is not installed; make wandb installs"):
        client_version("no-such-client", "wandb")


def test_files_that_differ_from_their_record_are_rejected(project_copy):
    home = project_copy.folder / "results/tiny"
    replies = home / "evaluation/evaluation/base/completions.jsonl.gz"
    replies.write_bytes(b"other replies")
    with pytest.raises(InputError, match=r"completions\.jsonl\.gz: is not the file that .*completions\.json describes"):
        describe_files(home, [replies])
    with pytest.raises(InputError, match="nothing: no such file"):
        describe_files(home, [home / "nothing"])
