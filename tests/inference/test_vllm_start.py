"""What a vLLM engine is told about its start: graph sizes and processes. Without vLLM."""

from itertools import pairwise

import pytest

from persona_leakage.inference.vllm_start import IN_PROCESS, START, STARTS, compilation_arguments, graph_sizes, rounded_length, variables


@pytest.mark.parametrize("at_once", [1, 40, 256, 512, 1000, 1024])
def test_few_graphs_reach_twice_the_replies_and_pad_by_a_fourth(at_once):
    """A batch of as many replies as may be in progress has a graph of its own; from 256 tokens on padding stays within a fourth."""
    sizes = graph_sizes(at_once)
    assert sizes == sorted(set(sizes)) and sizes[0] == 1 and sizes[-1] == 2 * at_once and at_once in sizes
    assert len(sizes) <= 26
    assert all(larger <= 1.25 * size for size, larger in pairwise(sizes) if size >= 256)


def test_arguments_of_the_starts():
    """vLLM's own graphs end at 512 tokens unless told otherwise."""
    assert compilation_arguments(STARTS["vllm"], 256) == {}
    assert compilation_arguments(STARTS["vllm"], 1024) == {"compilation_config": {"max_cudagraph_capture_size": 1024}}
    assert compilation_arguments(STARTS["few"], 1024) == {"compilation_config": {"cudagraph_capture_sizes": graph_sizes(1024)}}
    assert START in STARTS.values()


def test_variables_of_the_starts(monkeypatch):
    """What the user has set stays."""
    monkeypatch.delenv(IN_PROCESS, raising=False)
    assert variables(STARTS["few"]) == {} and variables(STARTS["few-one-process"]) == {IN_PROCESS: "0"}
    monkeypatch.setenv(IN_PROCESS, "1")
    assert variables(STARTS["few-one-process"]) == {}


@pytest.mark.parametrize(
    ("longest", "limit", "expected"), [(130, 32768, 512), (512, 32768, 512), (513, 600, 600), (700, 600, 700), (9, None, 9)]
)
def test_lengths_share_compiled_code_within_the_models_limit(longest, limit, expected):
    assert rounded_length(longest, limit) == expected
