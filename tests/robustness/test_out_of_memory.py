"""When memory runs out: the batch is halved, nothing is lost or counted twice, and results stay what they were."""

import copy
import weakref

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from persona_leakage.behaviours.marker import Marker
from persona_leakage.behaviours.marker_log_probability import scores_of_all
from persona_leakage.geometry.hidden_states import last_token_states
from persona_leakage.geometry.next_token_divergence import Comparison, measure_all
from persona_leakage.inference import engine as engines
from persona_leakage.inference import kv_cache
from persona_leakage.inference.requests import Request, SamplingParams
from persona_leakage.inference.transformers_engine import TransformersEngine
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json
from persona_leakage.infrastructure.gpu_lease import SHARE
from persona_leakage.models import out_of_memory
from persona_leakage.models.attention import use_causal_attention
from persona_leakage.models.loading import limit_memory, load_tokenizer
from persona_leakage.models.lora import attach_new_adapter
from persona_leakage.models.out_of_memory import fits, is_out_of_memory
from persona_leakage.training import loop as training

TRAINING = {
    "lora": {"rank": 4, "alpha": 8, "dropout": 0.1, "rslora": False},
    **{"learning_rate": 0.01, "epochs": 3, "batch_size": 4, "warmup_ratio": 0.1, "weight_decay": 0.0, "max_grad_norm": 1.0},
    "max_tokens_per_micro_batch": 40,
}
CUDA_SAYS = "CUDA out of memory. Tried to allocate 20.00 MiB."
WARM = SamplingParams(temperature=1.0, top_p=0.9, max_new_tokens=24)


@pytest.fixture
def model(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model.parent, dtype=torch.float32).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def rows():
    ids = torch.randint(140, 2000, (12, 10), generator=torch.Generator().manual_seed(1)).tolist()
    return [{"token_ids": row, "labels": [-100] * 7 + row[-3:]} for row in ids]


def shape_mismatch():
    torch.ones(2, 3) @ torch.ones(2, 3)


@pytest.mark.parametrize("work", [lambda: torch.empty(2**50), lambda: np.empty(2**50), lambda: bytearray(2**62)])
def test_the_machines_own_errors_are_recognised(work):
    result, said = fits(work)
    assert result is None and said


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError(CUDA_SAYS), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError(CUDA_SAYS), False),
    ],
    ids=str,
)
def test_errors_are_told_apart(error, expected):
    assert is_out_of_memory(error) == expected


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        fits(shape_mismatch)


def test_memory_is_freed_when_nothing_holds_it_any_more(monkeypatch):
    """The tensors of the failed frames are gone before caches are emptied, else emptying them gives nothing back."""
    held, gone = [], []

    def work():
        activations = torch.ones(10)
        held.append(weakref.ref(activations))
        raise torch.OutOfMemoryError(CUDA_SAYS)

    monkeypatch.setattr(out_of_memory, "free_memory", lambda: gone.append(held[0]() is None))
    assert fits(work) == (None, CUDA_SAYS)
    assert gone == [True]


def failing_at(calls, real, error=CUDA_SAYS):
    """``real``, which does its work and then runs out of memory at the given calls (counted from 1)."""
    count = 0

    def call(*args, **kwargs):
        nonlocal count
        count += 1
        result = real(*args, **kwargs)
        if count in calls:
            raise torch.OutOfMemoryError(error)
        return result

    return call


def trained(model, rows, path, **changes):
    adapter = attach_new_adapter(copy.deepcopy(model), TRAINING["lora"], seed=0)
    results = training.train(adapter, rows, {**TRAINING, **changes}, 1, path, "cpu", torch.float32, checkpoint_seconds=0.0)
    return results, {name: p.detach().clone() for name, p in adapter.named_parameters() if p.requires_grad}


def test_training_goes_on_as_if_it_had_begun_with_less(model, rows, tmp_path, monkeypatch):
    """The step is done again from its start: gradients of its first half thrown away, dropout seeded anew. Bit for bit, with dropout."""
    expected, weights = trained(model, rows, tmp_path / "a.pt", max_tokens_per_micro_batch=10)
    backward = failing_at({1, 3}, torch.Tensor.backward)  # all four rows; then, behind a part that fits, two of them
    monkeypatch.setattr(torch.Tensor, "backward", lambda *args, **kwargs: backward(*args, **kwargs))
    found, found_weights = trained(model, rows, tmp_path / "b.pt", max_tokens_per_micro_batch=40)
    assert expected["out_of_memory"] == {"times": 0, "micro_batch_tokens": 10}
    assert found["out_of_memory"] == {"times": 2, "micro_batch_tokens": 10}
    assert found["loss"] == expected["loss"]
    assert all(torch.equal(found_weights[name], weights[name]) for name in weights)


def test_a_step_may_fit_without_the_memory_of_cuda_graphs(model, rows, tmp_path, monkeypatch):
    """It is repeated in batches of the same size, so the adapter does not change."""

    class Passes(training.Passes):
        """Pretends to hold a graph."""

        def __init__(self, *args):
            super().__init__(*args)
            self.graphs = {"a shape": None}

    expected, weights = trained(model, rows, tmp_path / "a.pt")
    monkeypatch.setattr(training, "Passes", Passes)
    monkeypatch.setattr(training, "selective_loss", failing_at({3}, training.selective_loss))
    found, found_weights = trained(model, rows, tmp_path / "b.pt")
    assert found["out_of_memory"] == {"times": 1, "micro_batch_tokens": TRAINING["max_tokens_per_micro_batch"]}
    assert found["loss"] == expected["loss"] and all(torch.equal(found_weights[name], weights[name]) for name in weights)


def test_a_resumed_training_keeps_its_smaller_batches(model, rows, tmp_path, monkeypatch):
    """Else dropout masks would be others behind the kill than without it."""

    class Killed(Exception):
        pass

    def kill_behind(path, *args):
        keep(path, *args)
        if args[-1] == 4:
            raise Killed

    keep, loss = training.save_checkpoint, training.selective_loss
    monkeypatch.setattr(training, "selective_loss", failing_at({3}, loss))
    undisturbed, weights = trained(model, rows, tmp_path / "a.pt")
    monkeypatch.setattr(training, "selective_loss", failing_at({3}, loss))
    monkeypatch.setattr(training, "save_checkpoint", kill_behind)
    with pytest.raises(Killed):
        trained(model, rows, tmp_path / "b.pt")
    monkeypatch.undo()
    resumed, resumed_weights = trained(model, rows, tmp_path / "b.pt")
    assert resumed["resumed_from_step"] == 4
    assert resumed["out_of_memory"] == undisturbed["out_of_memory"] == {"times": 1, "micro_batch_tokens": 20}
    assert resumed["loss"] == undisturbed["loss"] and all(torch.equal(resumed_weights[name], weights[name]) for name in weights)


def test_a_single_row_that_does_not_fit_is_named(model, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "selective_loss", failing_at(range(100), training.selective_loss))
    with pytest.raises(InputError, match=r"training: out of memory with a single row of 10 tokens \(CUDA out.*lower training.max_length"):
        trained(model, rows, tmp_path / "a.pt")


PROMPTS = [list(range(200, 200 + 16 * size)) for size in (3, 9, 4, 9, 1, 7)]


def test_hidden_states_do_not_depend_on_the_splits(model, monkeypatch):
    """Batches that fail, also twice, are split, and every prompt keeps its row (1e-5)."""
    expected, memory = last_token_states(copy.deepcopy(model), PROMPTS, [1, 3], batch_tokens=576)
    assert memory == {"times": 0, "batch_tokens": 576}
    use_causal_attention(model)  # its probe is no batch
    decoder = model.get_decoder()
    monkeypatch.setattr(decoder, "forward", failing_at({1, 3}, decoder.forward))
    found, memory = last_token_states(model, PROMPTS, [1, 3], batch_tokens=576)
    # In 16 tokens: 4 rows of 9 fail, 2 of 9 pass, 2 of 7 fail, 1 of 7 and the rest pass.
    assert memory == {"times": 2, "batch_tokens": 112}
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    monkeypatch.setattr(decoder, "forward", failing_at(range(100), decoder.forward))
    with pytest.raises(InputError, match=r"hidden states: out of memory with a single row of 144 tokens .*geometry.precision: bfloat16"):
        last_token_states(model, PROMPTS, [1, 3])


def test_batches_behind_one_that_does_not_fit_are_split_too(model, monkeypatch):
    use_causal_attention(model)  # its probe is no batch
    decoder, rows = model.get_decoder(), []
    forward = failing_at({1}, decoder.forward)
    monkeypatch.setattr(decoder, "forward", lambda *args, **more: rows.append(len(more["input_ids"])) or forward(*args, **more))
    last_token_states(model, [list(range(200, 216))] * 8, [1, 3], batch_tokens=64)
    assert rows == [4, 2, 2, 2, 2]


def test_divergence_does_not_depend_on_the_splits(model, tmp_path, monkeypatch):
    """Bit for bit, and the next reply begins with what the last one left."""
    work = [Comparison((5, 6, 7), tuple(prompt), reply) for reply in ((21, 22, 23), (24, 25)) for prompt in PROMPTS]
    expected, memory = measure_all(lambda: copy.deepcopy(model), work, ["a"], tmp_path, 100)
    assert memory == {"times": 0, "batch_tokens": 4096} and min(expected) > 0
    use_causal_attention(model)  # its probe is no batch
    decoder = model.get_decoder()
    monkeypatch.setattr(decoder, "forward", failing_at({2}, decoder.forward))  # behind the source's own prompt, all five others
    assert measure_all(lambda: model, work, ["b"], tmp_path, 100) == (expected, {"times": 1, "batch_tokens": 400})


def test_marker_probabilities_do_not_depend_on_the_splits(model, tmp_path, monkeypatch):
    replies = [(tuple(prompt), (31, 32, 33), (40,)) for prompt in PROMPTS]
    marker = Marker("x", (40,), (41, 42))
    expected, memory = scores_of_all(lambda: copy.deepcopy(model), replies, marker, "a", tmp_path, 3)
    assert memory == {"times": 0, "batch_tokens": 4096}
    use_causal_attention(model)
    decoder = model.get_decoder()
    monkeypatch.setattr(decoder, "forward", failing_at({1}, decoder.forward))
    found, memory = scores_of_all(lambda: model, replies, marker, "b", tmp_path, 3)
    assert found == expected and memory == {"times": 1, "batch_tokens": 240}


@pytest.fixture
def requests():
    return [Request("p", f"q{number}", 0, tuple(range(200, 210 + number)), number) for number in range(12)]


def test_sampling_keeps_finished_replies(model, tiny_model, requests, monkeypatch):
    """The others are sampled again in half as many slots, to the same tokens; in float64, where rounding cannot tip a draw."""
    tokenizer, stops = load_tokenizer(tiny_model.parent), range(2, 140)
    model = model.double()
    expected = {done.request: done.token_ids for done in TransformersEngine(model, tokenizer, stops, 8).sample(requests, WARM)}
    engine = TransformersEngine(model, tokenizer, stops, 8)
    asked = []
    monkeypatch.setattr(kv_cache, "forward", failing_at({5, 9}, kv_cache.forward))
    real = engine.sample
    monkeypatch.setattr(
        engine, "sample", lambda requests, sampling: asked.append((len(requests), engine.slots)) or real(requests, sampling)
    )
    memory = {"times": 0, "batch_size": 8}
    found = list(engines.sample_with_fewer_slots(engine, requests, WARM, memory))
    assert {done.request: done.token_ids for done in found} == expected and len(found) == len(requests)
    assert memory == {"times": 2, "batch_size": 2} and engine.slots == 2
    assert [slots for _, slots in asked] == [8, 4, 2]
    assert asked[0][0] == 12 > asked[1][0] >= asked[2][0], "some replies had ended before memory ran out"


def test_a_single_reply_that_does_not_fit_is_named(model, tiny_model, requests, monkeypatch):
    engine = TransformersEngine(model, load_tokenizer(tiny_model.parent), range(2, 140), 8)
    monkeypatch.setattr(kv_cache, "forward", failing_at(range(100), kv_cache.forward))
    with pytest.raises(InputError, match=r"sampling: out of memory with a single row of 45 tokens .*lower max_new_tokens"):
        list(engines.sample_with_fewer_slots(engine, requests, WARM, {"times": 0, "batch_size": 8}))


def test_replies_say_that_memory_ran_out(tiny_model, requests, tmp_path, monkeypatch):
    """completions.json and pool.json record it."""
    manifest = read_json(tiny_model)
    engine = {"name": "transformers", "precision": "float32", "batch_size": 8, "checkpoint_every": 6, "merge_adapter": False}
    monkeypatch.setattr(TransformersEngine, "_check_cache", lambda self, own: None)  # its passes are none of the replies'
    monkeypatch.setattr(kv_cache, "forward", failing_at({3}, kv_cache.forward))
    arguments = (manifest, requests, None, vars(WARM), engine, 8, tmp_path, "replies", "evaluation")
    records, facts = engines.sample_all(*arguments)
    assert len(records) == 12 and facts["out_of_memory"] == {"times": 1, "batch_size": 4}
    assert engines.sample_all(*arguments)[0] == records, "restart points are the same ones"


@pytest.mark.parametrize(("jobs", "device", "limits"), [("6", "cuda", [0.15]), ("1", "cuda", []), ("6", "cpu", [])])
def test_a_job_keeps_to_its_share_of_a_gpu(monkeypatch, jobs, device, limits):
    """Without a limit, torch keeps the memory that a job has freed, and other jobs on the GPU run out of it."""
    set_to = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", set_to.append)
    monkeypatch.setenv(SHARE, jobs)
    limit_memory(device)
    assert set_to == pytest.approx(limits)
