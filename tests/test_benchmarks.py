"""The benchmarks' page shows what the kept files say; the harness's arithmetic; contenders agree on what they compute."""

import sys

import numpy as np
import pytest

from tests.conftest import ROOT

sys.path.append(str(ROOT / "benchmarks"))

from write_page import PAGE, filled

from harness import spread, summarise

FOLDERS = sorted(path.parent for path in (ROOT / "docs/performance").glob("*/centroids.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_page_is_that_of_the_files(folder):
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page, folder) == page


def test_every_folder_is_on_the_page():
    assert FOLDERS
    for folder in FOLDERS:
        assert f"<!-- {folder.name}: written by make bench -->" in PAGE.read_text(encoding="utf-8")


def test_summary_of_several_runs():
    """Medians of seconds and of rates, the largest memory, the worst distance relative to the reference's largest value."""
    runs = [
        {"seconds": 2.0, "units": 10, "peak_memory_bytes": {"host": 5}, "check": [1.0, 4.0]},
        {"seconds": 5.0, "units": 10, "peak_memory_bytes": {"host": 7}, "check": [1.0, 3.0]},
        {"seconds": 4.0, "units": 10, "peak_memory_bytes": {"host": 6}, "check": [1.0, 4.0]},
    ]
    found = summarise(runs, np.array([1.0, 4.0]))
    assert found["seconds"] == {"median": 4.0, "least": 2.0, "most": 5.0} == spread([2.0, 5.0, 4.0])
    assert found["units_per_second"]["median"] == 2.5 and found["peak_memory_bytes"] == {"host": 7}
    assert found["distance"] == 0.25


def test_contenders_give_the_same_states(monkeypatch, smollm2):
    """Ours, one prompt at a time and padded batches: the same hidden states up to the number format's rounding."""
    import centroids

    monkeypatch.setitem(centroids.PERSONAS, "smollm2", 3)
    monkeypatch.setitem(centroids.QUESTIONS, "smollm2", 2)
    work = centroids.prepare("smollm2")
    ours, single, padded = (way(work)[1] for way in (centroids.ours, centroids.one_at_a_time, centroids.all_hidden_states))
    scale = np.abs(single).max()
    assert np.abs(np.array(ours) - single).max() < 0.02 * scale and np.abs(np.array(padded) - single).max() < 0.02 * scale
