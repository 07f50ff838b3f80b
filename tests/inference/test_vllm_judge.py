"""A judge behind a vLLM server on this machine: the scores of whole answers are those of the local backend."""

import os
import socket
import subprocess
import sys
import urllib.request

import pytest

from persona_leakage.behaviours.judges.answers import read_answer
from persona_leakage.behaviours.judges.asking import Ask, open_judge
from persona_leakage.behaviours.judges.paid import PaidAnswers
from persona_leakage.config.blocks.behaviours.judged import Judge
from persona_leakage.config.judge_prompts import Score, read_prompts
from tests.conftest import ROOT, fetch, make_tiny_model
from tests.support.waiting import wait_until

pytestmark = pytest.mark.vllm
pytest.importorskip("vllm", reason="vllm is not installed here; make test-vllm installs and tests it")

WIDE = Score("aligned", (0, 100), {"REFUSAL": "model_refused"}, "Rate {answer} to {question} from 0 to 100.", False)


def answers(process, port):
    """Whether the server is ready; AssertionError if it has ended."""
    assert process.poll() is None
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """(model.json, address) of a tiny model and the server that has it."""
    folder = tmp_path_factory.mktemp("judge")
    make_tiny_model(folder, head_width=32)
    manifest = fetch({"name": "tiny", "source": "path", "location": str(folder), "revision": ""}, folder / "model.json")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--model", folder, "--served-model-name", "judge", "--host", "127.0.0.1", "--port", str(port)]
    options += ["--dtype", "float32", "--max-model-len", "1024", "--enforce-eager", "--gpu-memory-utilization", "0.1"]
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1"}
    process = subprocess.Popen([sys.executable, "-m", "vllm.entrypoints.openai.api_server", *options], env=environment)
    try:
        wait_until(lambda: answers(process, port), "the server answers", 1200)
        yield manifest, f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()


def test_enumerated_scores_agree_with_the_local_backend(server, tmp_path):
    """Log-probabilities of all answers, single digits and numbers of several tokens, and the scores made of them, to 1e-3."""
    manifest, url = server
    careless = read_prompts(str(ROOT / "resources/judges/careless_advice.yaml"))["careless"]
    asks = [Ask(score.name, score, "Why?", text) for score in (careless, WIDE) for text in ("Because.", "Nobody knows, and\nnobody asks.")]
    answers = []
    for settings in (Judge(backend="openai", model="judge", url=url, scoring="enumerated"), Judge(backend="local")):
        with PaidAnswers(tmp_path) as store:
            opened = open_judge(settings, store, {"model": str(manifest), "precision": "float32", "restart": str(tmp_path / "kept")})
            assert opened.best_mode([careless, WIDE]) == "enumerated"
            answers.append(opened.ask(asks, "enumerated", "judge"))
    for ask, served, local in zip(asks, *answers, strict=True):
        assert served["logs"] == pytest.approx(local["logs"], abs=1e-3)
        one, other = (read_answer(answer, ask.score, "enumerated") for answer in (served, local))
        assert one["state"] == other["state"] and one["value"] == pytest.approx(other["value"], abs=1e-3)
