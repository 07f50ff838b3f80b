"""What an edit makes stale: tests/data/staleness.yaml against Snakemake's dry runs of an experiment that is finished in name only."""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest
import yaml

from persona_leakage.infrastructure.code_digest import files_of_program
from tests.conftest import ROOT, jobs_of, make_tiny_project

TABLE = yaml.safe_load((ROOT / "tests/data/staleness.yaml").read_text())
STAGES, EDITS = TABLE["stages"], TABLE["edits"]
PANEL = ["villain", "villain_scene", "comedian", "comedian_scene", "assistant", "nurse", "nurse_scene"]
OPTIONAL = {
    "personas__file": "resources/personas_paraphrases.yaml",
    "personas__panel": PANEL,
    "training__seeds": [42, 7],
    "training__snapshots": 2,
    "training_data__negative_variants": ["hash0"],
    "personas__no_persona_prompts": ["no_system"],
    "questions__evaluation": [{"set": name, "count": 2} for name in ("evaluation", "ood_math")],
    "evaluation__teacher_forced": True,
    "geometry__adapted": True,
    "geometry__positions": ["last_prompt_token", "first_reply_token"],
    "analysis__predictors": True,
    "analysis__divergence": {"replies_per_question": 1, "tokens": 4},
}
CHOICE = {
    **OPTIONAL,
    "questions__evaluation": [{"set": "evaluation", "count": 2}],  # items have one set
    "personas__no_persona_prompts": [],
    "evaluation__teacher_forced": False,
    "training__snapshots": 0,
    "analysis__divergence": None,
    "behaviour": {"kind": "choice"},
    "training_data__negative_variants": [],
    "labels__loss_on": "completion",
}
# Files beyond the size up to which Snakemake compares contents by default.
LARGE = ("analysis/evaluation/seed42/cosines.csv", "evaluation/evaluation/villain/seed42/completions.jsonl.gz")


def counted(output):
    return {rule: count for rule, count in jobs_of(output).items() if rule != "all"}


class Snakemake:
    """A process of tests/support/dry_runs.py in a project's folder."""

    def __init__(self, folder):
        self.process = subprocess.Popen(
            [sys.executable, ROOT / "tests/support/dry_runs.py"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, *arguments):
        self.process.stdin.write(json.dumps(arguments) + "\n")
        self.process.stdin.flush()
        code, output = json.loads(self.process.stdout.readline())
        assert code == 0, output
        return output

    def planned(self, *arguments):
        return counted(self.run("-n", *arguments, "--quiet", "rules"))

    def close(self):
        self.process.stdin.close()
        assert self.process.wait() == 0


def keep_personas(path):
    """Leave only the panel and one more persona in a file, which every dry run reads."""
    head, *personas = path.read_text().split("  - name: ")
    path.write_text("  - name: ".join([head, *(text for text in personas if text.split()[0] in [*PANEL, "pirate"])]))


def finished_in_name(folder, changes):
    """A tiny experiment with these changes of its config, whose outputs hold nothing and count as made.

    project.snakemake runs Snakemake there; project.plain and project.everything are the {rule: jobs} without and with the changes.
    """
    project = make_tiny_project(folder, "resources")
    project.snakemake = Snakemake(project.folder)
    project.plain = project.snakemake.planned("--forceall")
    project.edit_config(**changes)
    keep_personas(project.folder / "resources/personas_paraphrases.yaml")
    for name in ("personas_paraphrases", "questions"):
        shutil.copy(project.folder / f"resources/{name}.yaml", project.folder / f"copy of {name}.yaml")
    output = project.snakemake.run("-n", "--forceall", "--quiet", "reason")
    project.everything = counted(output)
    for name in re.findall(r"^    output: (.*)$", output, re.M):
        for path in (project.folder / each for each in name.split(", ")):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}" + " " * (2_000_000 if str(path).endswith(LARGE) else 0))
    project.snakemake.run("--touch", "--forceall", "--cores", "1", "--quiet", "all")
    return project


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """An experiment with all optional analyses, see finished_in_name."""
    project = finished_in_name(tmp_path_factory.mktemp("staleness") / "project", OPTIONAL)
    yield project
    project.snakemake.close()


@pytest.fixture(scope="module")
def choice_project(tmp_path_factory):
    """The same with multiple-choice items, and the optional analyses that these have."""
    project = finished_in_name(tmp_path_factory.mktemp("staleness") / "choice", CHOICE)
    yield project
    project.snakemake.close()


def edited_config(text, changes):
    """A config's text with other values of dotted keys."""
    config = yaml.safe_load(text)
    for key, value in changes.items():
        *blocks, last = key.split(".")
        block = config
        for name in blocks:
            block = block[name]
        assert block.get(last) != value, key
        block[last] = value
    return yaml.safe_dump(config, sort_keys=False)


def edited_files(folder, edit):
    """{path: new text} of an edit of the table."""
    texts = {}
    if changes := edit.get("config"):
        texts["config.yaml"] = edited_config((folder / "config.yaml").read_text(), changes)
    for name, (old, new) in edit.get("replace", {}).items():
        text = (folder / name).read_text()
        assert text.count(old) == 1, (name, old)
        texts[name] = text.replace(old, new)
    for name, packages in edit.get("pins", {}).items():
        text, found = re.subn(rf"- ({'|'.join(packages)})==\S+", r"- \1==0.0.1", (folder / f"envs/{name}.yaml").read_text())
        assert found == len(packages), name
        texts[f"envs/{name}.yaml"] = text
    for name in edit.get("append", []):
        texts[name] = (folder / name).read_text() + ("edited = 1\n" if name.endswith(".py") else "<!-- edited -->\n")
    return texts


@contextmanager
def edited(folder, edit):
    """The files of a project with an edit, with times older than all results, as rsync and tar bring them; undone afterwards."""
    texts = edited_files(folder, edit)
    before = {name: (folder / name).read_text() for name in texts}
    try:
        for name, text in texts.items():
            (folder / name).write_text(text)
            os.utime(folder / name, (0, 0))
        yield
    finally:
        for name, text in before.items():
            (folder / name).write_text(text)


def rules_of(stages):
    return {"build_report", *(rule for stage in stages for rule in stage["rules"])}


def stages_of(kind):
    """The stages of experiments with this kind of behaviour."""
    return [stage for stage in STAGES.values() if kind in stage.get("behaviour", [kind])]


def expected_rules(starts, kind):
    """The rules of these stages, of all stages after them and of the report; a name that is no stage is one of rules, maybe with a *."""
    if not starts:
        return set()
    stale = {name for name in starts if name in STAGES}
    while more := {name for name, stage in STAGES.items() if stage in stages_of(kind) and stale & {*stage.get("after", [])}} - stale:
        stale |= more
    alone = [rule for name in starts if name not in STAGES for rule in fnmatch.filter(rules_of(stages_of(kind)), name)]
    return {*alone, *rules_of(STAGES[name] for name in stale)}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_makes_stale_what_the_table_says(request, name):
    edit = EDITS[name]
    kind = edit.get("behaviour", "marker")
    project = request.getfixturevalue("choice_project" if kind == "choice" else "project")
    with edited(project.folder, edit):
        found = project.snakemake.planned()
    assert set(found) == expected_rules(edit["stale"], kind)
    wanted = edit.get("jobs") or {rule: project.everything[rule] for rule in found}
    assert {rule: found[rule] for rule in wanted} == wanted


def test_every_rule_has_a_stage_and_optional_analyses_that_are_off_have_no_job(project, choice_project):
    assert set(choice_project.everything) == rules_of(stages_of("choice"))
    assert set(project.everything) == rules_of(stages_of("marker"))
    assert set(project.plain) == rules_of(stage for stage in stages_of("marker") if not stage.get("optional"))


def test_a_scored_behaviour_adds_its_stages(project):
    capitals = {"kind": "scored", "name": "capitals", "scorer": "capitals", "threshold": 0.9, "transform": "capitals"}
    changes = {"behaviour": capitals, "labels.loss_on": "completion", "evaluation.teacher_forced": False, "training.snapshots": 0}
    with edited(project.folder, {"config": changes}):
        found = project.snakemake.planned("--forceall")
    assert set(found) == rules_of(stages_of("scored"))


LIBRARY = ROOT / "workflow_scripts/persona_leakage"
# Packages above those that train, sample and measure, and modules that only talk to users or share GPUs.
LATER = ("statistics", "tables", "figures", "reporting", "publishing")
UNCOUNTED = ("config/messages", "infrastructure/cli", "infrastructure/gpu_lease", "infrastructure/package_names", "infrastructure/progress")


@pytest.mark.parametrize("program", ["train_adapter", "sample_completions", "extract_centroids"])
def test_no_other_module_makes_an_adapter_reply_or_centroid_stale(program):
    used = files_of_program(ROOT / f"workflow_scripts/{program}.py")
    assert LIBRARY / "infrastructure/files.py" in used
    others = [path for folder in LATER for path in (LIBRARY / folder).rglob("*.py")]
    others += [LIBRARY / f"{name}.py" for name in UNCOUNTED]
    assert len(others) > 40 and all(path.is_file() for path in others)
    assert not {*used} & {*others}


def test_times_make_nothing_stale(project):
    """Every file as new as its turn in an order that is not that of the stages, small and large ones."""
    for path in sorted(project.folder.rglob("*")):
        if path.is_file() and ".snakemake" not in path.parts:
            os.utime(path)
    assert project.snakemake.planned() == {}


def test_results_copied_into_a_clone_of_the_code_are_not_stale(project, tmp_path):
    """And --touch accepts them there after an edit."""
    made = ("results", "resources/models", ".snakemake")
    git = ["git", "-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-C", project.folder]
    (project.folder / ".git/info").mkdir(parents=True)
    (project.folder / ".git/info/exclude").write_text("".join(f"/{name}/\n" for name in made) + "__pycache__/\n")
    for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "code"]):
        subprocess.run([*git, *arguments], check=True)
    subprocess.run(["git", "clone", "--quiet", project.folder, tmp_path / "clone"], check=True)
    for name in made:
        shutil.copytree(project.folder / name, tmp_path / "clone" / name, copy_function=shutil.copyfile)
    clone = Snakemake(tmp_path / "clone")
    assert clone.planned() == {}
    with edited(tmp_path / "clone", {"append": ["workflow_scripts/persona_leakage/figures/scatter.py"]}):
        clone.run("--touch", "--cores", "1", "--quiet", "all")
        assert clone.planned() == {}
    clone.close()
