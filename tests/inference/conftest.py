"""Fixtures of the tests of shared engines."""

import sys

import pytest

from persona_leakage.inference import shared_engine
from persona_leakage.inference.shared_engine import engine_folder
from persona_leakage.infrastructure import gpu_lease
from persona_leakage.models.loading import read_manifest
from tests.conftest import ROOT
from tests.support.shared_engines import end, stand_in_for_snakemake
from tests.support.waiting import wait_until


@pytest.fixture
def server(monkeypatch):
    """The program of an engine's process, with a stand-in for vLLM."""
    program = ROOT / "tests/support/stand_in_engine.py"
    monkeypatch.setattr(shared_engine, "SERVER", (sys.executable, str(program)))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "workflow_scripts"))  # of the processes that a test starts
    for name in (gpu_lease.SHARE, gpu_lease.PLACES):
        monkeypatch.delenv(name, raising=False)
    return program


@pytest.fixture
def owner(server):
    """A process in place of Snakemake; its engines end with it."""
    process = stand_in_for_snakemake()
    folder = engine_folder(process)
    yield process
    end(process)
    wait_until(lambda: not any(folder.glob("*")), "the engines have ended and removed their files")


@pytest.fixture
def settings(tiny_model, server):
    folder = read_manifest(tiny_model)["folder"]
    return {"folder": folder, "stop_ids": [0], "dtype": "float32", "device": "cpu", "longest": 9, "rank": 8}
