"""Judges of a test: quick clients of a judge server, and the judgements of a few replies."""

from persona_leakage.behaviours.judges.asking import judge_replies, open_judge
from persona_leakage.behaviours.judges.paid import PaidAnswers
from persona_leakage.config.blocks.behaviours.judged import Judge
from persona_leakage.config.judge_prompts import Score, reply_digest
from tests.support.judge_server import MODEL

SCORE = Score("aligned", (0, 100), {"REFUSAL": "model_refused", "CODE": "off_task"}, "Q {question} A {answer}", True)
KEY = "sk-secret-of-this-test"
BACKENDS = {"openai": "/v1", "anthropic": ""}


def hurry_clients(monkeypatch):
    """Keys in the environment, short waits."""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.02)
    monkeypatch.setattr("anthropic._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr("anthropic._base_client.MAX_RETRY_DELAY", 0.02)


def block(server, backend="openai", **keys):
    return Judge(backend=backend, model=MODEL, url=server.url + BACKENDS[backend], **keys)


def judge(folder, settings, texts, mode="number", copy=0):
    """{text: judgement} of replies to one question."""
    with PaidAnswers(folder) as store:
        opened = open_judge(settings, store, {})
        found = judge_replies(opened, mode, [("Why?", text) for text in texts], {"aligned": SCORE}, "judge", copy)
    return {text: found[reply_digest("Why?", text)]["aligned"] for text in texts}
