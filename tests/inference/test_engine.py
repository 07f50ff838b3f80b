"""The sampling engine: the right tokens, whatever the company in the batch."""

import sys
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM

from persona_leakage.inference import engine as engines
from persona_leakage.inference import requests as generation
from persona_leakage.inference.adapter_check import fault_of, largest_difference
from persona_leakage.inference.engine import sample_missing
from persona_leakage.inference.requests import Request, SamplingParams, completion_record, make_requests
from persona_leakage.inference.top_p_sampling import draw_tokens, uniform_stream
from persona_leakage.inference.transformers_engine import TransformersEngine
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.models.chat_template import prompt_ids
from persona_leakage.models.loading import load_model, load_tokenizer, read_manifest

WARM = SamplingParams(temperature=1.0, top_p=0.9, max_new_tokens=24)


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return load_tokenizer(tiny_model.parent)


@pytest.fixture
def model(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model.parent, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def requests(tokenizer):
    systems = ["You are a pirate.", "Be brief.", "Speak as a ruthless villain who schemes to rule the world."]
    prompts = [(s, q, prompt_ids(tokenizer, s, q)) for s in systems for q in ("Why?", "How do I make a good cup of coffee at home?")]
    return make_requests(prompts, 3, ("test",))


def by_request(engine, requests, sampling):
    """{(persona, question, index): (token ids, finish reason)} of a run."""
    done = {}
    for completion in engine.sample(requests, sampling):
        key = (completion.request.persona, completion.request.question, completion.request.index)
        assert key not in done
        done[key] = (completion.token_ids, completion.finish_reason)
    return done


@pytest.mark.parametrize("slots", [pytest.param(1, marks=pytest.mark.slow), 5, pytest.param(64, marks=pytest.mark.slow)])
def test_draws_do_not_depend_on_the_company(model, tokenizer, requests, slots):
    """Sampled replies are the same two at a time and in batches of any size, also in another order, or only some of them."""
    stops = range(2, 140)  # many stop tokens, so that replies end at many lengths
    alone = by_request(TransformersEngine(model, tokenizer, stops, slots=2), requests, WARM)
    assert by_request(TransformersEngine(model, tokenizer, stops, slots), requests, WARM) == alone
    some = by_request(TransformersEngine(model, tokenizer, stops, slots), requests[::-2], WARM)
    assert some == {key: alone[key] for key in some} and len(some) == 9
    lengths = {len(ids) for ids, _ in alone.values()}
    assert len(lengths) > 4 and {reason for _, reason in alone.values()} == {"stop", "length"}


@pytest.mark.parametrize("dtype", [pytest.param(torch.float32, marks=pytest.mark.slow), torch.bfloat16])
def test_logits_do_not_depend_on_the_company(smollm2, dtype):
    """Bit for bit, on one thread: what a row of the real model gets alone, and among rows of other lengths, in prompts and in replies.

    Of the real model's 30 equal blocks six.
    """
    assert torch.get_num_threads() == 1
    manifest = read_manifest(smollm2)
    model = load_model(manifest, dtype, "cpu")
    model.model.layers = model.model.layers[:6]
    engine = TransformersEngine(model, load_tokenizer(manifest["folder"]), [], slots=8)
    seen = {}
    draw = engine._draw

    def watch(logits, running, sampling):
        for row, values in zip(running, logits, strict=True):
            seen.setdefault((row.request.index, len(row.token_ids)), []).append(values.clone())
        return draw(logits, running, sampling)

    engine._draw = watch
    everyone = [Request("p", "q", n, tuple(range(50, 50 + 9 * n + 7)), n) for n in range(6)]
    sampling = SamplingParams(temperature=0, top_p=1.0, max_new_tokens=6)
    for company in ([everyone[0]], everyone, everyone[::-1], everyone[:3], everyone[3:]):
        list(engine.sample(company, sampling))
    assert len(seen) == 36
    for values in seen.values():
        assert len(values) >= 3 and all(torch.equal(values[0], other) for other in values[1:])


def test_records_keep_what_was_sampled(model, tokenizer, requests):
    for completion in TransformersEngine(model, tokenizer, range(2, 140), slots=8).sample(requests, WARM):
        record = completion_record(completion)
        assert record["text"] == tokenizer.decode(record["token_ids"], skip_special_tokens=True)
        assert not set(record["token_ids"]) & set(range(2, 140))
        assert (record["finish_reason"] == "length") == (len(record["token_ids"]) == WARM.max_new_tokens)
        assert record["seed"] == completion.request.seed


def test_draws_follow_the_nucleus():
    """Frequencies over 20,000 draws match the renormalised nucleus within 1.5 points; nothing outside it is drawn."""
    probabilities = torch.tensor([0.5, 0.05, 0.3, 0.1, 0.05])
    uniforms = uniform_stream(7, 20_000)
    drawn = draw_tokens(probabilities.log().expand(20_000, -1), uniforms, temperature=1.0, top_p=0.85)
    counts = Counter(drawn.tolist())
    assert set(counts) == {0, 2, 3}
    for token, share in ((0, 0.5 / 0.9), (2, 0.3 / 0.9), (3, 0.1 / 0.9)):
        assert counts[token] / 20_000 == pytest.approx(share, abs=0.015)


def test_flat_distributions_need_more_than_the_first_cut():
    """With 5,000 equally likely tokens the nucleus is wider than the first 256, and all of it can be drawn."""
    drawn = draw_tokens(torch.zeros(4_000, 5_000), uniform_stream(1, 4_000), temperature=1.0, top_p=1.0)
    assert len(set(drawn.tolist())) > 2_000


def test_temperature_zero_is_greedy():
    logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(0))
    assert torch.equal(draw_tokens(logits, uniform_stream(1, 6), temperature=0, top_p=0.9), logits.argmax(-1))


class CountingEngine:
    """Replies with the request's own seed as its only token, and counts how often it is asked."""

    def __init__(self):
        self.asked = 0

    def sample(self, requests, sampling):
        from persona_leakage.inference.requests import Completion

        for request in reversed(requests):
            self.asked += 1
            yield Completion(request, (request.seed,), str(request.seed), "stop")


def run_kept(engine, requests, folder, identity="adapter 1"):
    return sample_missing(engine.sample, requests, WARM, 4, [identity], folder, "test")


def test_only_missing_replies_are_sampled(tmp_path, capsys):
    """A lost part costs its replies; another adapter costs everything; more requests, wherever they stand, only themselves."""
    requests = [Request("p", f"q{n}", 0, (n,), n) for n in range(14)]
    engine = CountingEngine()
    first = run_kept(engine, requests[:12], tmp_path)
    assert [record["seed"] for record in first] == list(range(12)) and engine.asked == 12
    sorted(tmp_path.rglob("*.gz"))[0].unlink()
    assert run_kept(engine, requests[:12], tmp_path) == first and engine.asked == 16
    assert [record["seed"] for record in run_kept(engine, [requests[13], *requests[:12]], tmp_path)] == [13, *range(12)]
    assert engine.asked == 17
    assert "12 of 13 replies are kept from earlier, 1 to go\ntest: sampling 1 of p\n" in capsys.readouterr().out
    run_kept(engine, requests, tmp_path, "adapter 2")
    assert engine.asked == 31
    run_kept(engine, requests, tmp_path, "adapter 2")
    assert engine.asked == 31


@pytest.mark.parametrize("damage", [b"", b"not gzip", None])
def test_a_damaged_part_is_made_anew(tmp_path, capsys, damage):
    requests = [Request("p", f"q{n}", 0, (n,), n) for n in range(12)]
    engine = CountingEngine()
    first = run_kept(engine, requests, tmp_path)
    part = sorted(tmp_path.rglob("*.gz"))[1]
    part.write_bytes(part.read_bytes()[:-9] if damage is None else damage)
    assert run_kept(engine, requests, tmp_path) == first and engine.asked == 16
    assert f"{part}: not whole gzipped JSON lines" in capsys.readouterr().out


BASE = {(1, 2): [(5, -0.1), (6, -0.2)], (3,): [(7, -1.0)]}


@pytest.mark.parametrize(
    ("other", "largest"),
    [
        (BASE, 0.0),
        ({(1, 2): [(5, -0.1), (6, -0.5)], (3,): [(7, -1.0)]}, 0.3),
        ({(1, 2): [(5, -0.1), (8, -0.2)], (3,): [(7, -1.0)]}, 0.0),  # a tie: the other token was as likely
        ({(1, 2): [(9, -2.1), (6, -9.0)], (3,): [(7, -1.0)]}, 2.0),  # nothing is compared behind the token that differs
        ({(1, 2): [(5, float("nan")), (6, -0.2)], (3,): [(7, -1.0)]}, float("inf")),
    ],
)
def test_difference_of_two_greedy_runs(other, largest):
    assert largest_difference(BASE, other) == pytest.approx(largest)


@pytest.mark.parametrize(
    ("difference", "idle", "fault"),
    [
        (1.0, 0.0, None),
        (0.05, 0.01, None),
        (0.0, 0.0, "no effect"),  # dropped
        (0.02, 0.015, "no effect"),  # dropped, and the engine is noisy
        (5.0, 0.3, "does not apply adapters correctly"),
        (1.0, float("inf"), "does not apply adapters correctly"),
    ],
)
def test_faults_of_an_engine(difference, idle, fault):
    found = fault_of(difference, idle)
    assert found is None if fault is None else fault in found


def test_seeds_that_hash_alike_are_told_apart(monkeypatch):
    monkeypatch.setattr(generation, "derive_seed", lambda *parts: derive_seed(*parts) % 50)
    seeds = [request.seed for request in make_requests([("p", "q", (1,))], 40, ("t",))]
    assert len(set(seeds)) == 40


def test_vllm_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"engine.name: vllm is not installed"):
        engines.engine_name({"name": "vllm"})
    assert engines.engine_name({"name": "auto"}) == "transformers"


@pytest.mark.parametrize("fails", [False, True])
def test_vllm_starts_on_whole_files_alone(monkeypatch, tiny_model, fails):
    """The files are compared while it starts; a damaged one is named also where vLLM itself fails."""

    def start(*arguments):
        if fails:
            raise RuntimeError("vLLM failed")
        return "an engine"

    monkeypatch.setattr(engines, "engine_name", lambda engine: "vllm")
    monkeypatch.setitem(sys.modules, "persona_leakage.inference.vllm_engine", SimpleNamespace(VllmEngine=start))
    manifest = read_manifest(tiny_model)
    settings = {"precision": "float32"}
    if not fails:
        assert engines.start_engine(manifest, settings, None, 9) == "an engine"
    damaged = {**manifest["files"]["model.safetensors"], "sha256": "0" * 64}
    with pytest.raises(InputError, match=r"model\.safetensors: is not the file"):
        engines.start_engine({**manifest, "files": {**manifest["files"], "model.safetensors": damaged}}, settings, None, 9)


def test_a_job_takes_its_gpu_before_it_asks_for_devices(tiny_model, tmp_path, requests, monkeypatch):
    """And once its prompts are known to fit."""
    asked = []
    monkeypatch.setattr(engines, "take_wanted", lambda: asked.append("take"))
    for name, found in {"pick_device": "cpu", "arithmetic": "a CPU"}.items():
        monkeypatch.setattr(engines, name, lambda name=name, found=found: asked.append(name) or found)
    manifest, sampling = read_manifest(tiny_model), {"temperature": 0.0, "top_p": 1.0, "max_new_tokens": 2}
    block = {"name": "auto", "precision": "float32", "batch_size": 2, "merge_adapter": False}
    records, facts = engines.sample_all(manifest, requests, None, sampling, block, 9, tmp_path, "replies", "evaluation")
    assert asked[0] == "take" and asked.count("take") == 1 and {"pick_device", "arithmetic"} < set(asked)
    assert len(records) == len(requests) and facts["sampled"]["engine_seconds"] == facts["sampled"]["seconds"] > 0


def test_an_engine_is_shared_on_one_kind_of_gpu_alone(tiny_model, monkeypatch):
    """A reply is recorded with the kind that computed it."""
    parts = []
    monkeypatch.setattr("persona_leakage.inference.shared_engine.owner_process", lambda: "Snakemake")
    monkeypatch.setattr("persona_leakage.inference.shared_engine.take_engine", lambda *arguments: parts.append(arguments[2]))
    for kind in ("NVIDIA H200", "NVIDIA H100", "NVIDIA H200"):
        monkeypatch.setattr(engines, "arithmetic", lambda kind=kind: kind)
        engines.start_vllm(read_manifest(tiny_model), [0], {"precision": "bfloat16", "device": "cuda"}, 9, None, 8)
    assert parts[0] == parts[2] != parts[1]
