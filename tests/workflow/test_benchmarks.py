"""The benchmarks' page shows what the kept files say; the harness's arithmetic; contenders agree on what they compute."""

import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from persona_leakage.infrastructure.files import read_json, write_json
from tests.conftest import ROOT

sys.path.append(str(ROOT / "benchmarks"))

from profile_vllm import KINDS, STEPS, kind_of, per_step
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
    assert "| ours | 2.0 (2.0-2.0)" in re.sub(" +", " ", found) and "Measured 2026-01-02: one thread of 2 cores (x), no GPU" in found
    assert filled(found, tmp_path / "mine") == found
    assert "distance" not in found and "**centroids** (1 repeat, tiny)" in found
    write_json(tmp_path / "mine/sampling.json", {**result, "date": "2026-01-03", "packages": {"vllm": "2"}})
    assert "**sampling** (1 repeat, tiny, 2026-01-03, vllm 2)" in filled(page, tmp_path / "mine")


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


def test_milliseconds_of_a_kernel_in_a_step():
    """Kernels of one name together; neither operators of the host nor annotations that span kernels."""
    cuda, cpu = torch.autograd.DeviceType.CUDA, torch.autograd.DeviceType.CPU
    rows = [("a", cuda, False, 2000), ("a", cuda, False, 2000), ("b", cuda, False, 5000), ("c", cpu, False, 9000), ("d", cuda, True, 9000)]
    names = ("key", "device_type", "is_user_annotation", "self_device_time_total")
    events = [SimpleNamespace(**dict(zip(names, row, strict=True)), self_cpu_time_total=row[3]) for row in rows]
    assert per_step(events, True) == {"b": 5 / STEPS, "a": 4 / STEPS}
    assert list(per_step(events, False)) == ["c", "d", "b", "a"]


def test_a_benchmark_that_is_cut_off_keeps_the_repeats_before(tmp_path):
    """The file says how many it has; the contender that fails makes the program fail."""
    program = tmp_path / "stage.py"
    program.write_text(
        f"import sys\nfrom pathlib import Path\nsys.path.insert(0, {str(ROOT / 'benchmarks')!r})\n"
        "from harness import run_stage\n"
        f"calls = Path({str(tmp_path / 'calls')!r})\n"
        "def work(size):\n"
        "    calls.open('a').write('x')\n"
        "    if len(calls.read_text()) > 4: raise SystemExit('cut off')\n"
        "    return size, None, 1.0\n"
        "run_stage('stage', 'units', lambda shape: {'ours': work}, lambda shape: (1, 10), 'ours')\n"
    )
    done = subprocess.run([sys.executable, program, "--repeats", "3", "--output", tmp_path / "out.json"], stderr=subprocess.PIPE, text=True)
    found = read_json(tmp_path / "out.json")
    assert done.returncode != 0 and "cut off" in done.stderr
    assert found["repeats"] == 2 and found["contenders"]["ours"]["units_per_second"]["median"] == 10


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


@pytest.mark.slow
def test_contenders_give_the_same_states(monkeypatch, smollm2):
    """Ours, one prompt at a time and padded batches: the same hidden states up to rounding."""
    import centroids

    monkeypatch.setitem(centroids.PERSONAS, "smollm2", 3)
    monkeypatch.setitem(centroids.QUESTIONS, "smollm2", 2)
    _, work = centroids.prepare("smollm2")
    ours, single, padded = (way(work)[1] for way in (centroids.ours, centroids.one_at_a_time, centroids.all_hidden_states))
    scale = np.abs(single).max()
    assert np.abs(np.array(ours) - single).max() < 1e-4 * scale and np.abs(np.array(padded) - single).max() < 1e-4 * scale
