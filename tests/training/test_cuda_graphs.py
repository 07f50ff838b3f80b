"""Passes as CUDA graphs: which shapes become one, what a replay reads, what happens without; on stand-ins for torch's graphs.

The last tests compare real graphs with passes without, on a GPU.
"""

import copy
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from peft import get_peft_model_state_dict
from transformers import AutoConfig, AutoModelForCausalLM

from persona_leakage.models.lora import attach_new_adapter
from persona_leakage.training import cuda_graphs
from persona_leakage.training.cuda_graphs import Passes, pad_positions, round_up
from persona_leakage.training.loop import train


class StandInGraph:
    """What torch.cuda.CUDAGraph is to Passes: a replay calls what was captured, on the tensors of that time."""

    def replay(self):
        self.captured()


@pytest.fixture
def calls(monkeypatch):
    """The calls of a made-up pass on a "GPU": [(row lengths given, whether in a capture)]."""
    state = SimpleNamespace(capturing=None, list=[], refuse=None, left=[])

    @contextmanager
    def graph(new, pool):
        assert pool == "pool"
        state.capturing = new
        try:
            yield
        finally:
            state.capturing = None

    monkeypatch.setattr(torch.cuda, "CUDAGraph", StandInGraph)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: "stream")
    monkeypatch.setattr(cuda_graphs, "leave_capture", lambda *left: state.left.append(left))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=100))
    monkeypatch.setattr(Passes, "on_device", lambda self, tensors: [tensor.clone() for tensor in tensors])
    return state


def make_passes(state, parameters=1e9, device="cuda"):
    def run(input_ids, attention_mask, positions, divisor):
        if state.refuse and state.capturing:
            raise state.refuse
        loss = torch.zeros(())

        def compute():
            loss.copy_((input_ids * attention_mask).sum() / divisor)
            state.list.append((input_ids.shape[1], positions.shape[1]))

        if state.capturing:
            state.capturing.captured = compute
        else:
            compute()
        return loss

    return Passes(run, device, parameters, 100)


def micro_batch(value, rows=2, length=9, labels=3):
    return torch.full((rows, length), value), torch.ones(rows, length, dtype=torch.long), torch.ones(3, labels).long(), torch.tensor(2)


def test_a_shape_becomes_a_graph_the_third_time(calls):
    """Every replay computes with the numbers of its own micro-batch, and its loss outlives the next replay."""
    passes = make_passes(calls)
    losses = [passes(*micro_batch(value)) for value in (1, 2)]
    assert not passes.graphs
    losses += [passes(*micro_batch(value)) for value in (3, 4)]
    losses.append(passes(*micro_batch(1, length=10)))
    assert len(passes.graphs) == 1
    assert [float(loss) for loss in losses] == [9, 18, 27, 36, 10]
    assert len(calls.list) == 5


def test_labels_are_filled_up_so_that_shapes_recur(calls):
    passes = make_passes(calls)
    for labels in (33, 35, 36):
        passes(*micro_batch(1, labels=labels))
    assert len(passes.graphs) == 1 and {labels for _, labels in calls.list} == {40}


@pytest.mark.parametrize(
    ("device", "parameters", "jobs", "padded"), [("cpu", 1e9, "1", 33), ("cuda", 7e9, "1", 33), ("cuda", 1e9, "2", 36)]
)
def test_no_graphs(calls, monkeypatch, device, parameters, jobs, padded):
    """On a CPU, for a large model, and where two jobs share a device of 100 bytes and one pass takes 30."""
    monkeypatch.setenv("PERSONA_LEAKAGE_JOBS_PER_GPU", jobs)
    passes = make_passes(calls, parameters, device)
    assert [float(passes(*micro_batch(value))) for value in (1, 2, 3)] == [9, 18, 27]
    assert not passes.graphs and passes.padded(33) == padded


def test_a_model_whose_pass_cannot_be_captured_trains_without(calls, capsys):
    """Its rows stay padded, as those of a resumed run will be."""
    calls.refuse = RuntimeError("operation not permitted\nwhen stream is capturing")
    passes = make_passes(calls)
    assert [float(passes(*micro_batch(value))) for value in (1, 2, 3, 4)] == [9, 18, 27, 36]
    assert capsys.readouterr().out == "training continues without CUDA graphs: operation not permitted when stream is capturing\n"
    assert not passes.graphs and passes.padded(33) == 36 and calls.left == [("pool", "stream")]


def test_no_graphs_after_giving_up(calls):
    passes = make_passes(calls)
    for _ in range(3):
        passes(*micro_batch(1))
    assert passes.give_up() and not passes.give_up()
    assert float(passes(*micro_batch(1))) == 9 and not passes.graphs


def test_sizes():
    sizes = [round_up(size, 4) for size in (1, 15, 16, 17, 31, 33, 127, 128, 129, 150, 528)]
    assert sizes == [1, 15, 16, 18, 32, 36, 128, 128, 144, 160, 576]
    assert all(size <= round_up(size, 4) < 1.125 * size for size in range(1, 5000))
    assert pad_positions(torch.tensor([[1], [2], [3]]), 2).tolist() == [[1, 0], [2, 0], [3, cuda_graphs.IGNORED]]
    assert Passes(None, "cuda", 1, longest=101).padded(101) == 101, "no row is longer than the model's positions"


def train_on_gpu(model, dropout, path, **options):
    """(results, adapter weights) of a training with rows of a few lengths."""
    lora = {"rank": 4, "alpha": 8, "dropout": dropout, "rslora": False}
    settings = {"lora": lora, "learning_rate": 0.01, "epochs": 4, "batch_size": 4, "warmup_ratio": 0.1, "weight_decay": 0.0}
    settings |= {"max_grad_norm": 1.0, "max_tokens_per_micro_batch": 400}
    rows = [{"token_ids": [*range(2, 40 + row % 3)], "labels": [-100] * (30 + row % 3) + [5 + row % 7] * 8} for row in range(48)]
    adapter = attach_new_adapter(copy.deepcopy(model), lora, seed=0)
    results = train(adapter, rows, settings, 1, path, "cuda", torch.bfloat16, **options)
    return results, get_peft_model_state_dict(adapter)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("rope", ["default", "dynamic"])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_training_is_the_same_with_graphs_and_without(tiny_model, tmp_path, monkeypatch, rope, dropout):
    """The same dropout masks too. With dynamic RoPE, which reads positions back from the GPU, a pass cannot be captured."""
    config = AutoConfig.from_pretrained(tiny_model.parent)
    config.rope_parameters = {"rope_type": rope, "rope_theta": 10000.0, "factor": 2.0}
    model = AutoModelForCausalLM.from_pretrained(tiny_model.parent, config=config, dtype=torch.bfloat16).requires_grad_(False).cuda()
    found, weights = train_on_gpu(model, dropout, tmp_path / "a.pt")
    monkeypatch.setattr(cuda_graphs, "BEFORE_CAPTURE", 1000)
    expected, others = train_on_gpu(model, dropout, tmp_path / "b.pt")
    assert expected["cuda_graphs"] == 0 and (found["cuda_graphs"] > 0) == (rope == "default")
    assert found["loss"] == pytest.approx(expected["loss"], rel=0.01) and found["loss"][-1] < 0.8 * found["loss"][0]
    for name, tensor in others.items():
        torch.testing.assert_close(weights[name], tensor, rtol=0.05, atol=0.05 * tensor.abs().max().item(), msg=name)
