"""The benchmarks' page shows what the kept files say; the harness's arithmetic; contenders agree on what they compute."""

import re
import sys

import numpy as np

from persona_leakage.infrastructure.files import write_json
from tests.conftest import ROOT

sys.path.append(str(ROOT / "benchmarks"))

from write_page import PAGE, filled

from harness import spread, summarise

FOLDERS = sorted({path.parent for path in (ROOT / "docs/performance").glob("*/*.json")})


def test_the_page_is_that_of_the_files():
    page = PAGE.read_text(encoding="utf-8")
    for folder in FOLDERS:
        assert f"<!-- {folder.name}: written by make bench -->" in page
        page = filled(page, folder)
    assert page == PAGE.read_text(encoding="utf-8")


def test_the_block_of_a_page(tmp_path):
    row = {"seconds": spread([2.0]), "units_per_second": spread([5.0]), "peak_memory_bytes": {"host": 3e6}, "distance": None}
    about = {
        "date": "2026-01-02",
        "hardware": {"cores": 2, "processor": "x"},
        "packages": dict.fromkeys(("torch", "transformers", "peft"), "1"),
    }
    result = {"unit": "prompts", "repeats": 1, "shape": "tiny", "contenders": {"ours": row, "other": row}, **about}
    write_json(tmp_path / "mine/centroids.json", result)
    page = "before\n<!-- mine: written by make bench -->\nold\n<!-- end of mine -->\nbehind"
    found = filled(page, tmp_path / "mine")
    assert found.startswith("before\n") and found.endswith("\nbehind") and "old" not in found
    assert "| ours | 2.0 (2.0-2.0)" in re.sub(" +", " ", found) and "Measured 2026-01-02: one thread of 2 cores (x), no GPU" in found
    assert filled(found, tmp_path / "mine") == found
    assert "distance" not in found and "**centroids** (1 repeat, tiny)" in found
    write_json(tmp_path / "mine/sampling.json", {**result, "date": "2026-01-03", "packages": {"vllm": "2"}})
    assert "**sampling** (1 repeat, tiny, 2026-01-03, vllm 2)" in filled(page, tmp_path / "mine")


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
    assert summarise(runs, np.array([]))["distance"] is None
