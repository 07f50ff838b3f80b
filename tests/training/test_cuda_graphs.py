"""Passes as CUDA graphs: which shapes become one, what a replay reads, what happens without; on stand-ins for torch's graphs."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from persona_leakage.training import cuda_graphs
from persona_leakage.training.cuda_graphs import Passes, pad_places, round_up


class StandInGraph:
    """What torch.cuda.CUDAGraph is to Passes: a replay calls what was captured, on the tensors of that time."""

    def pool(self):
        return "pool"

    def replay(self):
        self.captured()


@pytest.fixture
def calls(monkeypatch):
    """The calls of a made-up pass on a "GPU": [(row lengths given, whether in a capture)]."""
    state = SimpleNamespace(capturing=None, list=[], refuse=None)

    @contextmanager
    def graph(new, pool):
        assert pool in (None, "pool")
        state.capturing = new
        try:
            yield
        finally:
            state.capturing = None

    monkeypatch.setattr(torch.cuda, "CUDAGraph", StandInGraph)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=100))
    monkeypatch.setattr(Passes, "on_device", lambda self, tensors: [tensor.clone() for tensor in tensors])
    return state


def make_passes(state, parameters=1e9):
    def run(input_ids, attention_mask, places, divisor):
        if state.refuse and state.capturing:
            raise state.refuse
        loss = torch.zeros(())

        def compute():
            loss.copy_((input_ids * attention_mask).sum() / divisor)
            state.list.append((input_ids.shape[1], places.shape[1]))

        if state.capturing:
            state.capturing.captured = compute
        else:
            compute()
        return loss

    return Passes(run, "cuda", parameters)


def micro_batch(value, rows=2, length=9, labels=3):
    return torch.full((rows, length), value), torch.ones(rows, length, dtype=torch.long), torch.ones(3, labels).long(), torch.tensor(2)


def test_a_shape_becomes_a_graph_the_second_time(calls):
    """Every replay computes with the numbers of its own micro-batch, and its loss outlives the next replay."""
    passes = make_passes(calls)
    losses = [passes(*micro_batch(value)) for value in (1, 2, 3)]
    assert len(passes.graphs) == 1
    other = passes(*micro_batch(1, length=10))
    assert len(passes.graphs) == 1
    assert [float(loss) for loss in [*losses, other]] == [9, 18, 27, 10]
    assert len(calls.list) == 4


def test_labels_are_filled_up_so_that_shapes_recur(calls):
    passes = make_passes(calls)
    for labels in (33, 35, 36):
        passes(*micro_batch(1, labels=labels))
    assert len(passes.graphs) == 1 and {labels for _, labels in calls.list} == {36}


@pytest.mark.parametrize(("device", "parameters", "jobs"), [("cpu", 1e9, "1"), ("cuda", 7e9, "1"), ("cuda", 1e9, "2")])
def test_no_graphs(calls, monkeypatch, device, parameters, jobs):
    """On a CPU, for a large model, and where two jobs share a device of 100 bytes and one pass takes 30."""
    monkeypatch.setenv("PERSONA_LEAKAGE_JOBS_PER_GPU", jobs)
    passes = make_passes(calls, parameters)
    passes = Passes(passes.run, device, parameters)
    assert [float(passes(*micro_batch(value))) for value in (1, 2, 3)] == [9, 18, 27]
    assert not passes.graphs
    assert passes.padded(33) == (36 if jobs == "2" else 33)


def test_a_model_whose_pass_cannot_be_captured_trains_without(calls, capsys):
    calls.refuse = RuntimeError("operation not permitted\nwhen stream is capturing")
    passes = make_passes(calls)
    assert [float(passes(*micro_batch(value))) for value in (1, 2, 3)] == [9, 18, 27]
    assert "training goes on without CUDA graphs: operation not permitted when stream is capturing" in capsys.readouterr().out
    assert not passes.graphs and passes.padded(33) == 33


def test_forgotten_graphs_are_made_anew(calls):
    passes = make_passes(calls)
    for _ in range(2):
        passes(*micro_batch(1))
    passes.forget()
    assert not passes.graphs and passes.pool is None
    for _ in range(2):
        passes(*micro_batch(1))
    assert len(passes.graphs) == 1


def test_sizes():
    assert [round_up(size) for size in (1, 15, 16, 17, 31, 33, 127, 128, 129, 150, 528)] == [1, 15, 16, 18, 32, 36, 128, 128, 144, 160, 576]
    assert all(size <= round_up(size) < 1.125 * size for size in range(1, 5000))
    assert pad_places(torch.tensor([[1], [2], [3]]), 2).tolist() == [[1, 0], [2, 0], [3, cuda_graphs.IGNORED]]
