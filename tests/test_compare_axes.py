"""The axes of training seeds and predictors: switching one on adds its own jobs and changes no other; off, there are none."""

import pytest

from persona_leakage.infrastructure.files import read_json
from tests.conftest import Project
from tests.stale_jobs import ANALYSIS
from tests.test_report import check_numbers

OWN = {"compare_seeds", "plot_seed_stability", "measure_divergence", "compare_predictors", "plot_predictors"}
LEAGUE = {"compare_predictors": 1, "plot_predictors": 1}
END = {"write_run_config": 1, "build_report": 1, "all": 1}
DIVERGENCE = {"replies_per_question": 1, "tokens": 4}


def test_the_default_experiment_has_no_job_of_an_axis(tmp_path):
    planned = Project(tmp_path / "project").planned()
    assert planned["correlate_leakage"] == 1 and not OWN & set(planned)
    assert {rule for rule in planned if "compar" in rule} == {"compare_measures"}, "the two outcomes side by side, which is no axis"


@pytest.mark.parametrize(
    ("changes", "jobs"),
    [
        ({"analysis__predictors": True}, {**LEAGUE, **END}),
        ({"analysis__divergence": DIVERGENCE}, {"measure_divergence": 1, **ANALYSIS, **LEAGUE, **END}),
    ],
    ids=["league", "divergence"],
)
def test_an_axis_that_is_switched_on_adds_its_own_jobs(project_copy, changes, jobs):
    """And makes nothing stale but the config that is written down and the report, and the pairs, where the divergence adds columns."""
    project_copy.edit_config(**changes)
    assert project_copy.planned() == jobs


@pytest.mark.slow
def test_the_axes_go_through_to_the_report(project_copy):
    """Two seeds and the divergence on the finished experiment; then one more position costs its own jobs, and off costs the report."""
    project_copy.edit_config(training__seeds=[42, 7], analysis__divergence=DIVERGENCE)
    planned = project_copy.planned()
    assert {rule: planned[rule] for rule in OWN} == {**dict.fromkeys(OWN, 1), "compare_predictors": 2, "plot_predictors": 2}
    project_copy.run("--cores", "2")
    home = project_copy.folder / "results/tiny"
    divergence = read_json(home / "geometry/evaluation/base/divergence.json")
    base = read_json(home / "evaluation/evaluation/base/completions.json")
    assert divergence["meta"]["completions_sha256"] == base["sha256"]
    for table in divergence["divergence"].values():
        assert {source: len(others) for source, others in table.items()} == {"villain": 5, "comedian": 5}
        assert all(0 < value < 1 for others in table.values() for value in others.values())
    assert len(read_json(home / "analysis/evaluation/seeds.json")["runs"]) == 2
    page = home / "report/index.html"
    assert 'id="seeds"' in page.read_text() and 'id="predictors"' in page.read_text()
    assert check_numbers(page, home)[0] > 100
    assert project_copy.planned() == {}
    project_copy.edit_config(analysis__divergence={**DIVERGENCE, "tokens": 5})
    both = {rule: 2 * count for rule, count in {**ANALYSIS, **LEAGUE}.items() if rule not in END}
    seeds = {"compare_seeds": 1, "plot_seed_stability": 1}
    assert project_copy.planned() == {"measure_divergence": 1, **both, **seeds, **END}
    project_copy.edit_config(training__seeds=[42], analysis__divergence=None)
    assert set(project_copy.planned()) <= {*END, *ANALYSIS, "plot_training"}
