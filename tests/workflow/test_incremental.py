"""Adding a persona, question or sample computes only the additions; the rest keeps its bytes."""

import os
import re
import shutil

import pytest

from persona_leakage.infrastructure.files import read_json, read_jsonl_gz
from tests.conftest import make_tiny_project

HOME = "results/tiny/"
STATES = ("base", "villain/seed42", "comedian/seed42")
PANEL = ["villain", "monk", "comedian", "assistant", "pirate", "nurse", "hero"]  # monk is new, and not at the end


def replies(project, state):
    records = read_jsonl_gz(project.folder / HOME / f"evaluation/evaluation/{state}/completions.jsonl.gz")
    return {(record["persona"], record["question"], record["index"]): record for record in records}


def sampled(project, state):
    """(kept, all, newly sampled, of whom) from the job's log, as its user reads it."""
    log = (project.folder / f"logs/tiny/sample_completions/evaluation/{state}.log").read_text()
    (found,) = re.findall(r"(\d+) of (\d+) replies are kept from earlier, (\d+) to go\n.*: sampling \3 of (.*)$", log, re.M)
    return (*map(int, found[:3]), found[3])


@pytest.mark.parametrize(
    ("changes", "new", "of"),
    [
        ({"personas__panel": PANEL}, 4, "monk"),
        pytest.param({"questions__evaluation": [{"set": "evaluation", "count": 3}]}, 12, "6 personas", marks=pytest.mark.slow),
        pytest.param({"evaluation__samples_per_question": 3}, 12, "6 personas", marks=pytest.mark.slow),
    ],
    ids=["a persona", "a question", "a draw"],
)
def test_only_what_is_new_is_sampled(project_copy, changes, new, of):
    before = {state: replies(project_copy, state) for state in STATES}
    project_copy.edit_config(**changes)
    project_copy.run("--cores", "2", "evaluations")
    for state in STATES:
        assert sampled(project_copy, state) == (24, 24 + new, new, of)
        after = replies(project_copy, state)
        assert len(after) == 24 + new
        assert {key: after[key] for key in before[state]} == before[state]


@pytest.mark.slow
def test_the_outcome_is_that_of_a_run_from_nothing(project_copy, tiny_model, tmp_path):
    """Replies, training answers and hidden states that were there and those that are new, bit for bit as one run makes them all."""
    changes = {"personas__panel": PANEL, "training_data__negative_pool": ["villain", "comedian", "assistant", "nurse"]}
    fresh = make_tiny_project(tmp_path / "fresh", tiny_model.parent)
    targets = ("--cores", "2", "--", "evaluations", "centroids")
    for project in (project_copy, fresh):
        project.edit_config(**changes)
        project.run(*targets)
    geometry = "geometry/evaluation/base/"
    assert "36 of 48 answers" in (project_copy.folder / "logs/tiny/sample_training_pool.log").read_text().replace("replies", "answers")
    assert "12 of 14 prompts are kept" in (project_copy.folder / "logs/tiny/extract_centroids/evaluation.log").read_text()
    for name in ("training/pool.jsonl.gz", *(f"evaluation/evaluation/{state}/completions.jsonl.gz" for state in STATES)):
        assert (project_copy.folder / HOME / name).read_bytes() == (fresh.folder / HOME / name).read_bytes(), name
    files = [read_json(project.folder / HOME / geometry / "centroids.json")["sha256"] for project in (project_copy, fresh)]
    assert files[0] == files[1]


@pytest.mark.slow
def test_finished_work_of_other_settings_is_not_used(project_copy):
    """Another temperature has other replies; those of the old one stay in case it comes back, until long unused."""
    kept = project_copy.folder / "results/.kept/replies"
    old = set(kept.iterdir())
    project_copy.edit_config(evaluation__sampling={"temperature": 0.5, "top_p": 0.9, "max_new_tokens": 12})
    before = replies(project_copy, "base")
    project_copy.run("--cores", "1", HOME + "evaluation/evaluation/base/completions.json")
    assert replies(project_copy, "base") != before
    assert old < set(kept.iterdir())
    for path in (*old, *(part for folder in old for part in folder.iterdir())):
        os.utime(path, (0, 0))
    project_copy.edit_config(evaluation__sampling={"temperature": 0.5, "top_p": 0.8, "max_new_tokens": 12})
    project_copy.run("--cores", "1", HOME + "evaluation/evaluation/base/completions.json")
    assert not old & set(kept.iterdir())


def test_the_store_can_be_deleted(project_copy):
    """Nothing is stale without it, and what runs again comes out the same."""
    shutil.rmtree(project_copy.folder / "results/.kept")
    assert project_copy.planned() == {}
    before = replies(project_copy, "villain/seed42")
    project_copy.edit_config(personas__panel=PANEL)
    project_copy.run("--cores", "1", HOME + "evaluation/evaluation/villain/seed42/completions.json")
    after = replies(project_copy, "villain/seed42")
    assert {key: after[key] for key in before} == before
