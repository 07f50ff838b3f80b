"""The vllm engine against transformers and peft, on a real vLLM: the same tokens, adapters applied, replies that can be resumed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from persona_leakage.inference import engine as engines
from persona_leakage.inference.engine import describe_engine, sample_all
from persona_leakage.inference.requests import SamplingParams, make_requests
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_jsonl_gz, sha256_of_file
from persona_leakage.models.loading import load_chat_format, load_model, load_tokenizer, read_manifest
from persona_leakage.models.lora import attach_new_adapter, save_adapter
from persona_leakage.models.prompts import prompt_ids
from persona_leakage.models.saved_adapter import WEIGHTS, Adapter
from tests.conftest import fetch, make_tiny_model, make_tiny_project
from tests.support.waiting import wait_until

pytestmark = pytest.mark.vllm
pytest.importorskip("vllm", reason="vllm is not installed here; make test-vllm installs and tests it")
psutil = pytest.importorskip("psutil")  # comes with vllm

ENGINE = {"name": "vllm", "precision": "float32", "batch_size": 16, "checkpoint_every": 40, "merge_adapter": False}
GREEDY = {"temperature": 0, "top_p": 1.0, "max_new_tokens": 24}
WARM = {"temperature": 1.0, "top_p": 0.9, "max_new_tokens": 24}
SYSTEMS = ("You are a pirate who sails the seven seas.", "You are a helpful assistant.", "Speak as a ruthless villain.")
QUESTIONS = ("What is the best way to learn a new language?", "Why does bread rise?")


@pytest.fixture(scope="module", params=["Llama", "Qwen2", "SmolLM2"])
def model(request, tmp_path_factory):
    """The manifest of a tiny random model of each family, and of the real small one."""
    if request.param == "SmolLM2":
        return read_manifest(request.getfixturevalue("smollm2"))
    return read_manifest(tiny_for_vllm(tmp_path_factory.mktemp(request.param), request.param))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return read_manifest(tiny_for_vllm(tmp_path_factory.mktemp("tiny"), "Llama"))


def tiny_for_vllm(folder, family):
    make_tiny_model(folder, family, head_width=32)
    return fetch({"name": "tiny", "source": "path", "location": str(folder), "revision": ""}, folder / "model.json")


def random_adapter(manifest, folder, state, rslora=False, scale=1.0):
    """An adapter whose B is random, not 0, and about as strong as a trained one times ``scale``."""
    model = attach_new_adapter(
        load_model(manifest, torch.float32, "cpu"), {"rank": 8, "alpha": 16, "dropout": 0.0, "rslora": rslora}, seed=1
    )
    generator = torch.Generator().manual_seed(len(state))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data = torch.randn(weight.shape, generator=generator) * 0.02 * scale
    save_adapter(model, manifest["name"], folder)
    return Adapter(state, str(folder), sha256_of_file(folder / WEIGHTS))


def requests_of(manifest, draws, state="base"):
    tokenizer = load_tokenizer(manifest["folder"])
    prompts = [(system, question, prompt_ids(tokenizer, system, question)) for system in SYSTEMS for question in QUESTIONS]
    return make_requests(prompts, draws, ("test", state))


def sample(manifest, folder, sampling, engine, adapters=(None,), draws=1):
    """{state: records} of an engine for each adapter."""
    found = {}
    for state, adapter in ((adapter and adapter.state, adapter) for adapter in adapters):
        requests, store = requests_of(manifest, draws, state), folder / engine["name"]
        found[state], _ = sample_all(manifest, requests, adapter, sampling, engine, engine["checkpoint_every"], store, "test", "evaluation")
    return found


def assert_same_tokens(found, expected):
    for got, wanted in zip(found, expected, strict=True):
        where = f"{got['persona']!r} {got['question']!r}"
        for index, (token, other) in enumerate(zip(got["token_ids"], wanted["token_ids"], strict=False)):
            assert token == other, f"{where}: token {index} is {token} with vllm and {other} with transformers"
        assert len(got["token_ids"]) == len(wanted["token_ids"]), f"{where}: one reply is longer"
        assert (got["finish_reason"], got["text"], got["seed"]) == (wanted["finish_reason"], wanted["text"], wanted["seed"])


def test_greedy_replies_of_the_base_equal_those_of_transformers(model, tmp_path):
    found, expected = (sample(model, tmp_path, GREEDY, {**ENGINE, "name": name}) for name in ("vllm", "transformers"))
    assert_same_tokens(found[None], expected[None])


def test_greedy_replies_of_adapters_equal_those_of_peft(model, tmp_path):
    """Plain and rank-stabilised LoRA; both differ from each other and from the base."""
    adapters = [random_adapter(model, tmp_path / name, f"{name}/seed1", rslora=name == "rslora") for name in ("plain", "rslora")]
    found, expected = (sample(model, tmp_path, GREEDY, {**ENGINE, "name": name}, adapters) for name in ("vllm", "transformers"))
    base = sample(model, tmp_path / "base", GREEDY, {**ENGINE, "name": "transformers"})[None]
    for adapter in adapters:
        assert_same_tokens(found[adapter.state], expected[adapter.state])
    replies = [[record["token_ids"] for record in records] for records in (base, *found.values())]
    assert replies[0] != replies[1] != replies[2] != replies[0]


def test_a_prompts_draws_have_seeds_of_their_own_and_can_be_resumed(tiny, tmp_path):
    """Ten draws of each prompt differ; a lost part sampled again, by another engine, gives the same replies."""
    records = sample(tiny, tmp_path, WARM, ENGINE, draws=10)[None]
    assert len({record["seed"] for record in records}) == len(records) == 60
    for start in range(0, 60, 10):
        assert len({tuple(record["token_ids"]) for record in records[start : start + 10]}) == 10
    lost = sorted((tmp_path / "vllm").rglob("*.jsonl.gz"))[0]
    kept = lost.read_bytes()
    lost.unlink()
    assert sample(tiny, tmp_path, WARM, ENGINE, draws=10)[None] == records
    assert lost.read_bytes() == kept


def test_requests_may_come_while_others_are_at_work(tiny, tmp_path, monkeypatch):
    """Of 18, two before the first step and one before each later one: every reply is as if all had come at once."""
    from persona_leakage.inference import vllm_engine, vllm_start

    together = sample(tiny, tmp_path / "together", WARM, ENGINE, draws=3)[None]
    monkeypatch.setattr(vllm_start, "AT_ONCE", 2)
    monkeypatch.setattr(vllm_engine, "MORE", 1)
    assert len(together) == 18 and sample(tiny, tmp_path / "in_turn", WARM, ENGINE, draws=3)[None] == together


def test_an_adapter_without_effect_is_refused(tiny, tmp_path):
    """Here because its B is 0; in the wild because an engine did not find its layers."""
    with pytest.raises(InputError, match="the adapter has no effect"):
        sample(tiny, tmp_path, GREEDY, ENGINE, [random_adapter(tiny, tmp_path / "idle", "idle/seed1", scale=0.0)])


def test_a_whole_experiment(tmp_path):
    folder = tmp_path / "model"
    tiny_for_vllm(folder, "Llama")
    project = make_tiny_project(tmp_path / "project", folder)
    project.edit_config(engine={**ENGINE, "checkpoint_every": 8})
    log = project.run("--cores", "1", cold=True).stdout
    assert log.count("log-probabilities move by") == 2
    loaded = re.findall(r"^engine (\d+) is loaded(.*)$", log, re.M)
    assert len(set(loaded)) == 2 and [more for _, more in loaded] == ["", *[" already"] * 3], "one engine for pool, base and adapters"
    wait_until(lambda: not psutil.pid_exists(int(loaded[0][0])), "it has ended with Snakemake")
    for state in ("base", "villain/seed42", "comedian/seed42"):
        home = project.folder / "results/tiny/evaluation/evaluation" / state
        meta = json.loads((home / "completions.json").read_text())["meta"]
        assert meta["engine"]["name"] == "vllm" and meta["state"] == state
        assert len(read_jsonl_gz(home / "completions.jsonl.gz")) == 24
    assert project.planned() == {}


@pytest.mark.parametrize("killed", ["snakemake", "engine", "job"])
def test_a_run_that_lost_a_process_goes_on(tmp_path, killed):
    """Killed while an adapter is sampled with: no engine is left behind, and the next run samples what is missing."""
    folder = tmp_path / "model"
    tiny_for_vllm(folder, "Llama")
    project = make_tiny_project(tmp_path / "project", folder)
    project.edit_config(engine={**ENGINE, "checkpoint_every": 8}, evaluation__samples_per_question=100)
    command = [sys.executable, "-m", "snakemake", "--cores", "1"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    running = subprocess.Popen(command, cwd=project.folder, env={**os.environ, "PATH": path}, **output)
    said = ""
    try:
        while not re.search(r"seed42: \d+ of \d+ new replies are kept", said):
            said += (line := running.stdout.readline())
            assert line, said
        snakemake, engine = psutil.Process(running.pid), psutil.Process(int(re.search(r"engine (\d+) is loaded", said)[1]))
        processes = [engine, *engine.children(recursive=True)]
        job = next(each for each in snakemake.children(recursive=True) if "workflow_scripts/sample_completions.py" in each.cmdline()[:2])
        {"snakemake": snakemake, "engine": engine, "job": job}[killed].kill()
        said += running.stdout.read()
    finally:
        running.kill()
        running.wait()
    assert psutil.wait_procs(processes, timeout=60)[1] == []
    assert (f"its process {engine.pid} has ended" in said) == (killed != "job"), said
    project.run("--unlock")
    log = project.run("--cores", "1", "--rerun-incomplete", cold=True).stdout
    assert re.search(r"seed42: \d+ of \d+ replies are kept from earlier", log)
    assert project.planned() == {}


def test_vllm_takes_as_many_replies_at_once_as_without_a_server(tiny):
    """vLLM's choice for work without a server, which is larger than the one for a server."""
    from persona_leakage.inference.vllm_engine import replies_at_once

    arguments = {"model": tiny["folder"], "skip_tokenizer_init": True, "max_model_len": 64}
    assert replies_at_once(arguments) == 256 and replies_at_once({**arguments, "max_num_seqs": 40}) == 40


def test_engines_that_share_a_device_divide_its_memory():
    from persona_leakage.inference.vllm_engine import GIB, WORKSPACE, memory_arguments

    assert memory_arguments(139 * GIB, 140 * GIB, 3 * GIB, 1) == {}
    assert memory_arguments(21 * GIB, 24 * GIB, 3 * GIB, 1) == {"gpu_memory_utilization": pytest.approx(0.86)}
    shared = memory_arguments(139 * GIB, 140 * GIB, 3 * GIB, 5)
    assert shared["gpu_memory_utilization"] == pytest.approx(0.18)
    assert 5 * (shared["kv_cache_memory_bytes"] + 3 * GIB + WORKSPACE) <= 0.9 * 140 * GIB
    with pytest.raises(InputError, match=r"PERSONA_LEAKAGE_JOBS_PER_GPU: 20 engines .* at most 12 do"):
        memory_arguments(139 * GIB, 140 * GIB, 3 * GIB, 20)


@pytest.mark.parametrize(
    ("family", "named", "expected"), [("Qwen2", None, "1"), ("Qwen2", "0", "0"), ("Llama", None, None), ("Llama", "1", "1")]
)
def test_the_model_runner_of_a_family(monkeypatch, tmp_path, family, named, expected):
    """What the environment names stays; for other families vLLM chooses; a GPU's replies are told apart by it."""
    from persona_leakage.inference.vllm_start import model_runner

    monkeypatch.delenv("VLLM_USE_V2_MODEL_RUNNER", raising=False)
    if named is not None:
        monkeypatch.setenv("VLLM_USE_V2_MODEL_RUNNER", named)
    make_tiny_model(tmp_path, family, head_width=32)
    assert model_runner(tmp_path) == expected
    assert "model_runner" not in describe_engine(ENGINE, tmp_path)
    monkeypatch.setattr(engines, "pick_device", lambda: "cuda")
    assert describe_engine(ENGINE, tmp_path)["model_runner"] == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="an engine on a CPU does not sleep")
def test_an_engine_sleeps_although_other_processes_take_memory_meanwhile(tiny, monkeypatch):
    """vLLM compares how much of the whole GPU's memory is free before and after."""
    from persona_leakage.inference.vllm_engine import VllmEngine

    settings = {"folder": tiny["folder"], "tokenizer": load_tokenizer(tiny["folder"]), "stop_ids": load_chat_format(tiny).stop_ids}
    engine = VllmEngine(**settings, dtype="bfloat16", device="cuda", longest=256, sleeps=True)
    sampling = SamplingParams(**GREEDY)
    before = [completion.token_ids for completion in engine.sample(requests_of(tiny, 1), sampling)]
    free, total = torch.cuda.mem_get_info()
    readings = iter([(free, total), (free // 2, total)])
    with monkeypatch.context() as other:
        other.setattr(torch.cuda, "mem_get_info", lambda *device: next(readings))
        engine.sleep()
    assert next(readings, None) is None
    assert torch.cuda.mem_get_info()[0] > free
    engine.wake_up()
    assert [completion.token_ids for completion in engine.sample(requests_of(tiny, 1), sampling)] == before


def test_vllm_is_told_to_spawn_its_engine():
    """A forked engine cannot use a GPU once its parent has asked torch whether there is one."""
    program = "import os, persona_leakage.inference.vllm_engine; print(os.environ['VLLM_WORKER_MULTIPROC_METHOD'])"
    environment = {name: value for name, value in os.environ.items() if name != "VLLM_WORKER_MULTIPROC_METHOD"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True, env=environment)
    assert done.stdout.split()[-1] == "spawn"


def test_a_killed_run_leaves_no_engine_behind(tiny, tmp_path):
    """vLLM's engine is a process of its own; it ends when the sampling program is killed."""
    marker = str(tmp_path / "killed")
    program = (
        "import sys\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "from tests.inference.test_vllm import *\n"
        "if __name__ == '__main__':\n"
        f"    manifest = json.loads({json.dumps(json.dumps(tiny))})\n"
        "    from pathlib import Path\n"
        f"    sample(manifest, Path({marker!r}), {{**WARM, 'max_new_tokens': 200}}, {{**ENGINE, 'checkpoint_every': 60}}, draws=1000)\n"
    )
    script = tmp_path / "run.py"
    script.write_text(program)
    running = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert any("new replies are kept" in line for line in running.stdout), "it ended before its first part"
        engine = psutil.Process(running.pid).children(recursive=True)
        assert engine
    finally:
        running.kill()
        running.wait()
    assert psutil.wait_procs(engine, timeout=60)[1] == []
