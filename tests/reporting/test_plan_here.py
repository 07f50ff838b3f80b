"""The plan of this machine: kept replies, rates of jobs that have run here, models that resources/rates.yaml does not list."""

import json
import struct
from pathlib import Path

import pytest

from persona_leakage.config.personas import Persona
from persona_leakage.infrastructure.files import write_json, write_jsonl_gz
from persona_leakage.infrastructure.provenance import hardware
from persona_leakage.reporting import measured_rates
from persona_leakage.reporting.cost_plan import Sizes, plan_disk, plan_jobs
from persona_leakage.reporting.kept_replies import replies_to_sample, sum_up
from persona_leakage.reporting.plan import PlannedJob
from persona_leakage.reporting.rates import Rates, estimate_model, parameters_in_name
from tests.conftest import CONFIG
from tests.reporting.test_plan import MODEL, RATES, choice_config, small_config, small_sizes

PERSONAS = {name: Persona(name, "k", (), "x" * 10) for name in "abcd"}
QUESTIONS = {"t": ["How?", "Why?"], "e": ["When?", "Who?", "What?", "Where?"]}
ENGINE = {"name": "transformers", "precision": "float32", "merge_adapter": True, "packages": {}}
STATES = ("base", "a/seed42")


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """Results of personas a, b, c, of the base model and one adapter, in the working folder; returns their config."""
    monkeypatch.chdir(tmp_path)
    config = small_config(experiment="mine", model={"name": "tiny", "source": "path", "location": ".", "revision": ""})
    config["training"] = {**config["training"], "seeds": [42]}
    home = Path("results/mine")
    write_json("resources/models/tiny/model.json", {"digest": "d"})
    write_json(home / "run_config.yaml", {"config": config})
    write_json(home / "training/a/seed42/metrics.json", {"adapter_sha256": "s"})
    (home / "restart").mkdir()
    write_jsonl_gz(home / "restart/part.jsonl.gz", [["key", {}]])
    for state in STATES:
        folder = home / "evaluation/e" / state
        cells = [(name, question, index) for name in "abc" for question in QUESTIONS["e"] for index in range(5)]
        records = [{"persona": name, "question": question, "index": index} for name, question, index in cells]
        write_jsonl_gz(folder / "completions.jsonl.gz", records)
        meta = {"model": {"name": "tiny", "digest": "d"}, "engine": ENGINE, "sampling": config["evaluation"]["sampling"]}
        seeds = {"seed": config["seed"], "sampling_seed": config["evaluation"]["sampling_seed"]}
        adapter = {"adapter_sha256": None if state == "base" else "s"}
        write_json(folder / "completions.json", {"meta": meta | seeds | adapter, "replies": 60, "tokens": 600})
    return config


def sampling_jobs(experiment="mine", reason=""):
    path = f"results/{experiment}/evaluation/e/{{}}/completions.jsonl.gz"
    base = PlannedJob("sample_base_completions", {}, (path.format("base"),), reason=reason)
    return [base, PlannedJob("sample_completions", {"source": "a", "seed": "42"}, (path.format("a/seed42"),), reason=reason)]


def added(config, **changes):
    return {**config, "personas": {**config["personas"], "panel": list("abcd")}, **changes}


def test_one_added_persona_costs_its_own_replies(finished):
    found = replies_to_sample(added(finished), PERSONAS, QUESTIONS, sampling_jobs())
    assert found == {"sample_base_completions": (1, 20, 80), "sample_completions": (1, 20, 80)} and sum_up(found) == (40, 120)
    config, sizes = added(finished), small_sizes(finished)
    (base, _) = plan_jobs(config, dict.fromkeys(found, 1), sizes, lambda stage: (100, 30), False, found)
    assert base.tokens == sizes.evaluation_tokens() * 20 / 80 and base.hours * 3600 == 30 + base.tokens / 100


def test_replies_that_are_all_kept_load_no_model(finished):
    found = replies_to_sample(finished, PERSONAS, QUESTIONS, sampling_jobs())
    assert sum_up(found) == (0, 120)
    rates = {"other": (None, 2)}
    (base, _) = plan_jobs(finished, dict.fromkeys(found, 1), small_sizes(finished), lambda stage: rates.get(stage, (100, 30)), False, found)
    assert base.tokens == 0 and base.hours * 3600 == 2


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 7},
        {"evaluation": {**CONFIG["evaluation"], "samples_per_question": 5}},
        {"engine": {**CONFIG["engine"], "name": "vllm"}},
        {"questions": {"training": {"set": "t", "count": 2}, "evaluation": [{"set": "e", "count": 4}], "suffix": " Be brief."}},
    ],
    ids=["seed", "sampling", "engine", "suffix"],
)
def test_replies_of_other_settings_do_not_count(finished, change):
    assert sum_up(replies_to_sample({**finished, **change}, PERSONAS, QUESTIONS, sampling_jobs()))[1] == 0


def test_replies_of_another_adapter_or_of_other_code_do_not_count(finished):
    training = PlannedJob("train_adapter", {"source": "a", "seed": "42"}, ("x",))
    assert sum_up(replies_to_sample(finished, PERSONAS, QUESTIONS, [training, *sampling_jobs()])) == (60, 60)
    write_json("results/mine/training/a/seed42/metrics.json", {"adapter_sha256": "other"})
    assert sum_up(replies_to_sample(finished, PERSONAS, QUESTIONS, sampling_jobs())) == (60, 60)
    reason = "Updated input files: workflow_scripts/persona_leakage/inference/engine.py"
    assert sum_up(replies_to_sample(finished, PERSONAS, QUESTIONS, sampling_jobs(reason=reason))) == (120, 0)


def test_replies_count_only_while_they_are_kept_and_for_others_only_in_the_shared_store(finished):
    other = {**finished, "experiment": "other"}
    base = sampling_jobs("other")[:1]
    assert sum_up(replies_to_sample(other, PERSONAS, QUESTIONS, base)) == (60, 0)
    write_jsonl_gz("results/.kept/replies/ab/part.jsonl.gz", [["key", {}]])
    assert sum_up(replies_to_sample(other, PERSONAS, QUESTIONS, base)) == (0, 60)
    Path("results/.kept/replies/ab/part.jsonl.gz").unlink()
    Path("results/mine/restart/part.jsonl.gz").unlink()
    assert sum_up(replies_to_sample(finished, PERSONAS, QUESTIONS, sampling_jobs())) == (120, 0)


def benchmark(path, seconds):
    path = Path("benchmarks/mine") / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:00\t10.0\n")


def record_work(path, seconds, **content):
    """Give a result file the record of a job on this machine."""
    path = Path("results/mine") / path
    before = json.loads(path.read_text())
    meta = {**before.get("meta", {}), "hardware": hardware(), "wall_seconds": seconds, **content.pop("meta", {})}
    write_json(path, {**before, "meta": meta, **content})


@pytest.fixture
def measured(finished):
    """Jobs that sampled 1,000 tokens in 10 s and trained on 800 in 4 s, with 5 s and 6 s to start; one job without a model, of 3 s."""
    for state, name in zip(STATES, ("base", "a/seed42"), strict=True):
        sampled = {"sampled": {"replies": 60, "tokens": 500, "seconds": 5.0}}
        record_work(f"evaluation/e/{state}/completions.json", 9, meta=sampled)
        benchmark(f"sample_completions/e/{name}.tsv", 10)
    record_work("training/a/seed42/metrics.json", 9, tokens=800, train_seconds=4.0, resumed_from_step=0)
    benchmark("train_adapter/a/seed42.tsv", 10)
    benchmark("score_leakage/e/base.tsv", 3)
    return finished


def test_rates_of_this_machine_come_from_its_benchmark_files(measured):
    found = measured_rates.measured_rates("tiny", MODEL)
    assert {stage: (rate.get("tokens_per_second"), rate["start_seconds"], rate["jobs"]) for stage, rate in found.items()} == {
        "sample_transformers": (100, 5, 2),
        "train": (200, 6, 1),
        "other": (None, 3, 1),
    }
    rates = Rates(RATES, "cpu2", "smollm2-135m-instruct")
    rates.measured = found
    assert rates.rate("train") == (200, 6) and rates.rate("other") == (None, 3) and not rates.elsewhere()
    assert rates.rate("centroids")[0] == 222 and rates.elsewhere()
    train, _, centroids = rates.sources()
    assert train.startswith("train: measured here, 1 job: 200 tokens/s, 6 s to start")
    assert centroids.startswith("centroids: rates of 2 cores of an AMD EPYC")


def test_a_job_that_used_several_engines_counts_with_the_seconds_of_all(measured):
    sampled = {"replies": 60, "tokens": 500, "seconds": 5.0, "engine_seconds": 15.0}
    record_work(f"evaluation/e/{STATES[0]}/completions.json", 9, meta={"sampled": sampled})
    rate = measured_rates.measured_rates("tiny", MODEL)["sample_transformers"]
    assert (rate["tokens_per_second"], rate["start_seconds"]) == (50, 5)


def test_items_scored_here_give_a_rate(measured, monkeypatch):
    """The base model's job of 20 s and an adapter's of 10 s; none of an adapter whose log tells of kept items."""
    config = choice_config(Path())
    write_json("results/mine/run_config.yaml", {"config": {**config, "experiment": "mine", "model": measured["model"]}})
    monkeypatch.setattr(measured_rates, "check_experiment", lambda config, name: (PERSONAS, QUESTIONS))
    for state, job, seconds in (
        ("base", "score_choices/e/base", 20),
        *((f"{name}/seed42", f"score_choices/e/{name}/seed42", 10) for name in "ab"),
    ):
        write_json(f"results/mine/evaluation/e/{state}/cells.json", {"meta": {"hardware": hardware(), "wall_seconds": seconds}})
        benchmark(f"{job}.tsv", seconds)
        log = Path(f"logs/mine/{job}.log")
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("3 of 9 prompts are kept from earlier\n" if state.startswith("b/") else "")
    found = measured_rates.measured_rates("tiny", MODEL)
    tokens = Sizes(config, PERSONAS, QUESTIONS, MODEL).option_tokens()
    assert found["options"]["jobs"] == 2 and found["options"]["tokens_per_second"] == pytest.approx(2 * tokens / 30)
    assert found["other"]["jobs"] == 1, "they are no jobs without a model"


def test_jobs_that_did_not_make_their_result_here_teach_nothing(measured):
    """One that took a result from the store (1 s for work of 9), one of another machine, one of which every reply was kept."""
    benchmark("train_adapter/a/seed42.tsv", 1)
    record_work("evaluation/e/base/completions.json", 9, meta={"hardware": {"processor": "abacus", "cores": 2}})
    record_work("evaluation/e/a/seed42/completions.json", 9, meta={"sampled": {"replies": 0, "tokens": 0, "seconds": 0.0}})
    assert set(measured_rates.measured_rates("tiny", MODEL)) == {"other"}
    assert set(measured_rates.measured_rates("another", MODEL)) == {"other"}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", 7_000_000_000),
        ("HuggingFaceTB/SmolLM2-135M", 135_000_000),
        ("meta-llama/Llama-3.2-1.5b_it", 1_500_000_000),
        ("mistralai/Mixtral-8x7B-v0.1", 56_000_000_000),
        ("openai-community/gpt2", None),
        ("owner7B/mine", None),
        ("owner/model-4bit", None),
    ],
)
def test_parameters_in_a_name(name, count):
    assert parameters_in_name(name) == count


def test_a_model_is_counted_in_its_folder(tmp_path):
    shape = {"hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 3}
    (tmp_path / "config.json").write_text(json.dumps({**shape, "vocab_size": 100}))
    header = json.dumps({"a": {"dtype": "F32", "shape": [10, 7]}, "b": {"dtype": "F32", "shape": [5]}, "__metadata__": {}}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    block = {"name": "mine", "source": "path", "location": str(tmp_path), "revision": ""}
    entry = estimate_model(block, {"known": MODEL})
    assert entry["parameters"] == 75 and entry["hidden_size"] == 8 and entry["bytes"] == 8 + len(header)
    assert entry["lora_parameters_per_rank"] == 3 * (2 * (8 + 8) + 2 * (8 + 4) + 3 * (8 + 16)) and "counted" in entry["origin"]
    (tmp_path / "model.safetensors").unlink()
    assert estimate_model(block, {"known": MODEL})["parameters"] == 2 * 100 * 8 + 3 * 8 * (2 * 8 + 2 * 4 + 3 * 16)


def test_an_unknown_model_takes_the_nearest_ones_rates_and_says_so():
    block = {"name": "mine", "source": "hub", "location": "owner/Model-14B", "revision": "a" * 40}
    rates = Rates(RATES, "h200", "mine", block)
    known = Rates(RATES, "h200", "qwen2.5-7b-instruct")
    assert rates.rate("train")[0] == pytest.approx(known.rate("train")[0] * 7615616512 / 14e9)
    assert "(rough)" in next(rates.sources()) and "(rough)" not in next(known.sources())


def test_a_model_of_unknown_size_is_planned_without_hours():
    block = {"name": "mine", "source": "hub", "location": "owner/model", "revision": "a" * 40}
    rates = Rates(RATES, "cpu2", "mine", block)
    assert rates.rate("train") is None and rates.rate("other") == (None, 7.2)
    config = small_config()
    sizes = small_sizes(config, rates.model)
    (line,) = plan_jobs(config, {"train_adapter": 2}, sizes, rates.rate, False)
    assert line.hours is None and line.tokens > 0 and set(plan_disk(config, sizes, 2)) == {"replies and training rows"}
