"""The benchmarks' page shows what the kept files say; the harness's arithmetic; times of jobs and of engine starts."""

import os
import re
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from persona_leakage.config.experiment import check_experiment
from persona_leakage.infrastructure.files import read_json, write_json
from tests.conftest import CONFIG, ROOT, make_tiny_model, warm_python

sys.path.append(str(ROOT / "benchmarks"))

from write_page import PAGE, filled

from engine_agreement import compare, compare_outputs, compare_rates
from engine_start import phases_of
from experiment import GpuUse, experiment_settings, merged
from harness import spread, summarise
from timeline import busy_share, covered, draw, jobs_of, lanes_of, rates_of, rules_of

ROW = {"seconds": spread([2.0]), "units_per_second": spread([5.0]), "peak_memory_bytes": {"host": 3e6}, "distance": None}
FOLDERS = sorted({path.parent for path in (ROOT / "docs/performance").glob("*/*.json")})


def test_the_page_is_that_of_the_files():
    page = PAGE.read_text(encoding="utf-8")
    for folder in FOLDERS:
        assert f"<!-- {folder.name}: written by make bench -->" in page
        page = filled(page, folder)
    assert page == PAGE.read_text(encoding="utf-8")


def test_the_block_of_a_page(tmp_path):
    about = {
        "date": "2026-01-02",
        "hardware": {"cores": 2, "processor": "x"},
        "packages": dict.fromkeys(("torch", "transformers", "peft"), "1"),
    }
    result = {"unit": "prompts", "repeats": 1, "shape": "tiny", "contenders": {"ours": ROW, "other": ROW}, **about}
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


def test_jobs_of_a_finished_run(finished_project, tmp_path):
    """Every job once, in the order of their starts, with rates of what computes; jobs that share a lane do not overlap."""
    jobs = jobs_of(finished_project.folder, 0)
    rules = rules_of(jobs)
    assert {rule: rules[rule]["jobs"] for rule in ("fetch_model", "train_adapter", "sample_completions", "sample_base_completions")} == {
        **{"fetch_model": 1, "train_adapter": 2},
        **{"sample_completions": 2, "sample_base_completions": 1},
    }
    assert all(job["start"] < job["end"] and job["device"] is None for job in jobs)
    assert jobs[0]["rule"] == "fetch_model" and rules["train_adapter"]["end"] <= rules["correlate_leakage"]["start"]
    rates = rates_of(finished_project.folder / "results/tiny", jobs)
    assert set(rates) == {"sampling, adapter", "sampling, base model", "training"} and min(rates.values()) > 0
    ends = {}
    for job, lane in lanes_of(jobs):
        assert ends.get(lane, 0) <= job["start"]
        ends[lane] = job["end"]
    began = jobs[0]["start"]
    moved = [{**job, "start": job["start"] - began, "end": job["end"] - began} for job in jobs]
    draw(moved, [[second, 0, 50.0] for second in range(9)], tmp_path / "timeline.png")
    assert (tmp_path / "timeline.png").stat().st_size > 10_000 and (tmp_path / "timeline.svg").is_file()


def test_a_job_on_a_gpu_is_known_by_its_log(tmp_path):
    (tmp_path / "logs/tiny").mkdir(parents=True)
    (tmp_path / "logs/tiny/train.log").write_text("with_gpu: waiting\nwith_gpu: GPU 1 after 3 s\ntraining\n")
    record = {"rule": "train", "log": ["logs/tiny/train.log"], "starttime": 12.0, "endtime": 15.0}
    for output in ("a", "b"):  # a record for each output of a job
        write_json(tmp_path / ".snakemake/metadata" / output, record)
    (job,) = jobs_of(tmp_path, 10)
    assert job == {"rule": "train", "name": "train", "start": 2.0, "end": 5.0, "device": "1"}
    use = [[1.0, 0, 100.0], [3.0, 0, 40.0], [3.0, 1, 80.0], [6.0, 1, 100.0]]
    assert busy_share([job, {**job, "device": None, "end": 9.0}], use) == pytest.approx(0.6)
    assert busy_share([job], []) is None and busy_share([], use) is None


def test_only_devices_that_jobs_can_use_are_sampled(tmp_path, monkeypatch):
    """nvidia-smi shows all devices of the machine, and others may use them."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\n[ \"$1\" = -L ] && echo 'GPU 2: A GPU (UUID: GPU-aa)' || printf '%s, 50\\n' 0 1 2 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,GPU-aa")
    use = GpuUse(time.time())
    use.reader.join()
    assert [sample[1:] for sample in use.stop()] == [[1, 50.0], [2, 50.0]]


def test_two_finished_starts_are_compared(tmp_path):
    """From their files, as --against does after a run."""
    for name, rate in (("one", 20), ("two", 30)):
        shown = {str(number): [50, rate + number % 3] for number in range(8)} | {"8": [50, 25]}
        write_json(tmp_path / f"{name}.json", {"variant": name, "outcomes": [{"shown": shown}]})
        write_json(tmp_path / name / "engine0.json", {"greedy": [[[5, -1.0 - rate]]]})
    found = compare_outputs(tmp_path / "one.json", tmp_path / "two.json")
    assert found["variant"] == "two" and found["largest"] == 10 and found["p"] < 0.001
    assert found["interval"][0] < found["rate"] - found["other_rate"] < found["interval"][1] < 0


def test_seconds_that_several_jobs_cover():
    assert covered([(5, 7, 1), (0, 2, 1), (1, 3, 1), (1, 2, 1)]) == 5


def test_phases_of_an_engines_start():
    """A phase ends at its line, the last of several; one whose line is missing is part of the next."""
    texts = ["@imported", "@configured", "@configured", "INFO Initializing a V1 LLM engine (v0.24)", "Model loading took 3 GiB"]
    texts += ["GPU KV cache size: 9", "Graph capturing finished in 2 secs", "@ready", "@checked", "@first reply", "@done"]
    found = phases_of([(10.0 + number, text) for number, text in enumerate(texts)], 7.0)
    assert found["imports"] == 3 and found["config"] == 2 and "compile" not in found and found["profile"] == 1
    assert sum(found.values()) == 13


def test_difference_of_greedy_replies():
    first, second = [[[5, -1.0], [6, -2.0]], [[7, -3.0]]], [[[5, -1.5], [8, -2.0]], [[9, -3.0]]]
    assert compare(first, second) == {"largest": 0.5, "median": 0.5, "equal_first_tokens": 0.5, "equal_tokens": pytest.approx(1 / 3)}


def test_rates_of_two_starts_are_compared_over_personas():
    """All engines of a start count together; a shift of every persona shows, chance around 0 does not."""
    ours = [{"shown": {str(number): [50, 20 + number % 3] for number in range(9)}}] * 2
    near = [{"shown": {str(number): [100, 42 + 3 * (number % 2) - number % 3] for number in range(9)}}]
    far = [{"shown": {str(number): [100, 60 + number % 4] for number in range(9)}}]
    assert compare_rates(ours, near)["p"] > 0.2
    found = compare_rates(ours, far)
    assert found["personas"] == 9 and found["rate"] == pytest.approx(0.42) and found["p"] < 0.001
    low, high = found["interval"]
    assert low < found["rate"] - found["other_rate"] < high < 0


def test_rates_of_random_weights_can_be_written(tmp_path):
    """All are 0, so there is no test; a start with fewer replies may lack personas."""
    none = [{"shown": {str(number): [50, 0] for number in range(9)}}]
    found = compare_rates(none, [{"shown": {"0": [50, 0], "1": [50, 0]}}])
    write_json(tmp_path / "rates.json", found)
    assert found == {"personas": 2, "rate": 0, "other_rate": 0, "interval": None, "p": None}


@pytest.mark.parametrize("shape", ["qwen2.5-1.5b", "tiny"])
def test_the_experiment_of_the_benchmark_is_valid(shape, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    check_experiment(merged(CONFIG, experiment_settings(shape, tmp_path)))


def test_the_page_of_a_whole_experiment(tmp_path):
    about = {"shape": "tiny", "date": "2026-01-02", "hardware": {"gpu": "A GPU"}, "packages": {}}
    write_json(tmp_path / "mine/sampling.json", {**about, "unit": "tokens", "repeats": 1, "contenders": {"vLLM": ROW}})
    rates = {"sampling, adapter": 60000.0, "training": 50000.0}
    write_json(tmp_path / "mine/experiment.json", {**about, "gpus": 2, "jobs_per_gpu": 6, "seconds": 290.4, "busy": 0.71, "rates": rates})
    write_json(tmp_path / "mine/plain_experiment.json", {**about, "gpus": 2, "seconds": 400.0})
    start = {"variant": "few", "engines": 5, "seconds_to_first_reply": 33.0, "phases": {"imports": 9.0}, "tokens_per_second": 61000.0}
    write_json(tmp_path / "mine/engine_start_cold.json", {**about, **start, "outcomes": [{"replies": 600}]})
    compared = {"median": 0.001, "largest": 0.06, "equal_tokens": 0.98, "personas": 111, "rate": 0.42, "other_rate": 0.41, "p": 0.5}
    compared |= {"variant": "vllm", "interval": [-0.01, 0.03]}
    write_json(tmp_path / "mine/engine_start_warm_real_weights.json", {**about, **start, "outcomes": [{"replies": 9}], "against": compared})
    rates = {key: value for key, value in compared.items() if key not in ("median", "largest", "equal_tokens")} | {"variant": "few"}
    shared = {**about, **start, "variant": "shared", "outcomes": [{"replies": 9}], "against": rates}
    write_json(tmp_path / "mine/engine_start_warm_shared.json", shared)
    write_json(tmp_path / "mine/training_at_once.json", {**about, "rows": [{"jobs": 3, "tokens_per_second": 40000.0}]})
    page = re.sub(" +", " ", filled("<!-- mine: written by make bench --><!-- end of mine -->", tmp_path / "mine"))
    assert "| the workflow, 6 jobs a GPU | 2 | 290 | 71 % | 60000 | 50000 |" in page and "| plain script | 2 | 400 | | | |" in page
    assert "(performance/mine/experiment.png)" in page and "| 3 | 40000 |" in page
    assert "| few, cold caches | 5 | 600 | 33 | 9 |" in page and "| few, warm caches, real weights | 5 | 9 | 33 |" in page
    text = " ".join(page.split())
    assert (
        "**few against vllm** (tiny): the first greedy" in text
        and "42.00 and 41.00 % of the replies: difference -1.0 to +3.0 points (95 %), p = 0.50" in text
    )
    assert "**shared against few** (tiny): the marker is in 42.00" in text and "| shared" not in page


@pytest.mark.slow
def test_the_whole_experiment_and_the_plain_script(tmp_path, monkeypatch):
    """Both run to their end on a tiny model, on the same sources and personas."""
    import plain_experiment

    import experiment

    model = tmp_path / "model"
    model.mkdir()
    make_tiny_model(model, "Qwen2")
    monkeypatch.setattr(sys, "executable", str(warm_python()))
    output = tmp_path / "out/experiment.json"
    arguments = ["--shape", "tiny", "--model", model, "--folder", tmp_path / "run", "--gpus", "0", "--cores", "2", "--output", output]
    monkeypatch.setattr(sys, "argv", ["experiment.py", *map(str, arguments)])
    experiment.main()
    found = read_json(output)
    assert found["seconds"] > 0 and found["busy"] is None and set(found["rates"]) >= {"sampling, adapter", "training"}
    assert found["rules"]["train_adapter"]["jobs"] == found["rules"]["sample_completions"]["jobs"] == 2
    assert output.with_suffix(".png").is_file()
    (tmp_path / "plain").mkdir()
    settings = experiment.experiment_settings("tiny", model)
    plain_experiment.run_part(SimpleNamespace(model=model, folder=tmp_path / "plain", part=0, parts=1), settings)
    part = read_json(tmp_path / "plain/part0.json")
    assert set(part["counts"]) == set(settings["personas"]["sources"])
    assert set(part["counts"]["villain"]) == set(settings["personas"]["panel"])
    assert read_json(tmp_path / "plain/centroids.json").keys() == part["counts"]["villain"].keys()
