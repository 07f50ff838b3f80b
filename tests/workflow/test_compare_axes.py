"""Training seeds and predictors as optional analyses of one run."""

import pytest

from persona_leakage.infrastructure.files import read_json
from tests.reporting.test_report import check_numbers


@pytest.mark.slow
def test_two_seeds_and_the_divergence_reach_the_report(project_copy):
    project_copy.edit_config(training__seeds=[42, 7], analysis__divergence={"replies_per_question": 1, "tokens": 4})
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
