"""Repeated runs: the spread of training and of sampling told apart, and runs that are no repetitions refused."""

import json

import numpy as np
import pytest

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.statistics.comparisons.training_seeds import SAME_IN_ALL, compare_seeds, variance_parts
from tests.conftest import run_program


def make_run(training, sampling, rho, **meta):
    """A correlation.json with what is read of it: villain's rho is given, comedian's undefined."""
    facts = {key: "same" for key in SAME_IN_ALL}
    sources = {"villain": {"spearman_rho": rho}, "comedian": {"spearman_rho": None}}
    nothing = {"cells": {"nurse": {"rate": 0.5}}}
    return {
        "meta": {"program": "correlate_leakage", **facts, "training_seed": training, "sampling_seed": sampling, **meta},
        "headline_layer": 21,
        "leakage": {"villain": nothing},
        "noise_ceiling": {"villain": {"samples": {"ceiling": None}}},
        "joint": {"sources": ["villain", "comedian"]},
        "layers": {"21": {"per_source": sources, "within_source": {"mean_rho": rho}}},
    }


def test_parts_come_back_from_known_parts():
    """Training 0.3, sampling 0.1: the mean over 400 experiments of 6 x 4 runs."""
    generator = np.random.default_rng(3)
    found = [
        variance_parts({seed: list(0.3 * generator.normal() + 0.1 * generator.normal(size=4)) for seed in range(6)}) for _ in range(400)
    ]
    assert np.mean([parts["sampling"] ** 2 for parts in found]) == pytest.approx(0.01, rel=0.05)
    assert np.mean([parts["training"] ** 2 for parts in found]) == pytest.approx(0.09, rel=0.1)


@pytest.mark.parametrize(
    ("groups", "known", "reason"),
    [
        ({1: [0.5]}, set(), "one run"),
        ({1: [0.5, 0.6]}, {"sampling"}, "one training seed"),
        ({1: [0.5], 2: [0.7]}, {"training_and_sampling"}, "one sampling seed for each training seed"),
        ({1: [0.5, 0.6], 2: [0.7]}, {"training", "sampling"}, None),
    ],
)
def test_what_the_runs_cannot_tell_is_null(groups, known, reason):
    parts = variance_parts(groups)
    assert {key for key in ("training", "sampling", "training_and_sampling") if parts[key] is not None} == known
    assert (parts["undefined"] or "").startswith(reason or "") and bool(parts["undefined"]) == bool(reason)


def test_two_training_seeds_by_hand():
    """0.5 and 0.7: standard deviation 0.1414."""
    result = compare_seeds({"a": make_run(1, 0, 0.5), "b": make_run(2, 0, 0.7)})
    villain = result["spearman_rho"]["villain"]
    assert villain["training_and_sampling"] == pytest.approx(0.02**0.5)
    assert (villain["mean"], villain["lowest"], villain["highest"]) == pytest.approx((0.6, 0.5, 0.7))
    assert villain["values"] == [0.5, 0.7] and villain["sampling"] is None and villain["sampling_from"] is None
    assert result["spearman_rho"]["comedian"]["undefined"] == "a run lacks a correlation"


def test_the_mean_is_compared_over_the_same_sources_only():
    """A source without correlation in one run would look like spread of the others."""
    other = {**make_run(2, 0, 0.7), "joint": {"sources": ["villain"]}}
    result = compare_seeds({"a": make_run(1, 0, 0.5), "b": other})
    assert result["spearman_rho"]["mean of the sources"]["undefined"] == "a run lacks a correlation"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (make_run(1, 0, 0.7), "b: training seed 1 and sampling seed 0 are those of a"),
        (make_run(2, 0, 0.7, model="another"), "b: model is another, but same in a; runs may differ in seeds only"),
        (make_run(None, 0, 0.7), "b: meta has no training_seed or no sampling_seed"),
        ({**make_run(2, 0, 0.7), "headline_layer": 3, "layers": {"3": make_run(2, 0, 0.7)["layers"]["21"]}}, "b: headline layer 3"),
    ],
)
def test_runs_that_are_no_repetitions_are_refused(other, message):
    with pytest.raises(InputError, match=message):
        compare_seeds({"a": make_run(1, 0, 0.5), "b": other})


def test_the_program(tmp_path):
    for seed, rho in ((1, 0.5), (2, 0.7)):
        (tmp_path / f"{seed}.json").write_text(json.dumps(make_run(seed, 0, rho)))
    done = run_program("compare_seeds", "--correlations", "1.json", "2.json", "--output", "seeds.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "seeds.json").read_text())["runs"][1] == {"training_seed": 2, "sampling_seed": 0}
