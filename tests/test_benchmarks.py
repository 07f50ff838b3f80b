"""The benchmarks' page shows what the kept files say; the harness's arithmetic; contenders agree on what they compute."""

import re
import sys

import numpy as np

from persona_leakage.files import write_json
from tests.conftest import ROOT

sys.path.append(str(ROOT / "benchmarks"))

from profile_vllm import KINDS, kind_of
from write_page import PAGE, filled, ours_like, share_of_peak

from harness import peak_of, spread, summarise

FOLDERS = sorted({path.parent for path in (ROOT / "docs/performance").glob("*/*.json")})


def test_the_page_is_that_of_the_files():
    page = PAGE.read_text(encoding="utf-8")
    for folder in FOLDERS:
        assert f"<!-- {folder.name}: written by make bench -->" in page
        page = filled(page, folder)
    assert page == PAGE.read_text(encoding="utf-8")


def test_the_block_of_a_page(tmp_path):
    """Between the markers of its name, and nothing else changes; again gives the same."""
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
    assert "| ours | 2.0 (2.0 to 2.0)" in re.sub(" +", " ", found) and "Measured 2026-01-02: one thread of 2 cores (x), no GPU" in found
    assert filled(found, tmp_path / "mine") == found
    assert "distance" not in found and "**centroids** (1 repeat, tiny)" in found
    write_json(tmp_path / "mine/sampling.json", {**result, "date": "2026-01-03"})
    assert "**sampling** (1 repeat, tiny, 2026-01-03)" in filled(page, tmp_path / "mine")


def test_a_kernel_counts_once():
    """By what vLLM's and the libraries' kernels are called."""
    kernels = (
        "_topk_topp_kernel",
        "_lora_expand_kernel",
        "flash::FlashAttnFwdSm90",
        "nvjet_sm90_tst_256x128",
        "_gumbel_sample_kernel",
        "copy",
    )
    assert [kind_of(kernel) for kernel in kernels] == [*KINDS, "other"]


def test_a_contender_is_compared_with_ours_of_its_kind():
    rates = {"ours, no adapter": 4.0, "ours, adapter beside": 2.0, "generate, batches of 16, adapter beside": 1.0, "other": 1.0}
    assert ours_like("generate, batches of 16, adapter beside", rates) == 2.0
    assert ours_like("vLLM, no seeds, adapter beside", rates) == 2.0
    assert ours_like("other", {"other": 1.0}) is None
    assert ours_like("other", rates) == ours_like("ours, no adapter", rates) == 4.0


def test_share_of_the_fastest_matrix_product():
    """One peak for all contenders of a stage: what another process measured slower makes nobody look better."""
    peak = peak_of({"ours": [{"operations": 2, "matrix_peak": 50}, {"operations": 2, "matrix_peak": 80}], "other": [{}]})
    assert peak == {"operations": 2, "matrix_peak": {"median": 65, "least": 50, "most": 80}} and peak_of({"ours": [{}]}) == {}
    assert share_of_peak(peak, 10) == "25 %"


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


def test_contenders_give_the_same_states(monkeypatch, smollm2):
    """Ours, one prompt at a time and padded batches: the same hidden states up to rounding."""
    import centroids

    monkeypatch.setitem(centroids.PERSONAS, "smollm2", 3)
    monkeypatch.setitem(centroids.QUESTIONS, "smollm2", 2)
    _, work = centroids.prepare("smollm2")
    ours, single, padded = (way(work)[1] for way in (centroids.ours, centroids.one_at_a_time, centroids.all_hidden_states))
    scale = np.abs(single).max()
    assert np.abs(np.array(ours) - single).max() < 1e-4 * scale and np.abs(np.array(padded) - single).max() < 1e-4 * scale
