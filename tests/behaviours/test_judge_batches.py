"""Judges asked in batches: every request has an answer in the end, and a batch survives the job that sent it."""

import re

import pytest

from persona_leakage.behaviours.judges import anthropic_judge, paid
from persona_leakage.infrastructure.files import read_json
from tests.support.judge_server import JudgeServer
from tests.support.judging import block, hurry_clients, judge


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    hurry_clients(monkeypatch)


def test_message_batches(tmp_path, monkeypatch):
    """Results in any order; errored and expired requests go into the next batch."""
    monkeypatch.setattr(anthropic_judge, "POLL_SECONDS", 0.01)
    seen = []

    def fate(prompt):
        seen.append(prompt)
        failing = {"one": "errored", "two": "expired"}
        return next((kind for word, kind in failing.items() if word in prompt and seen.count(prompt) == 1), "succeeded")

    with JudgeServer(lambda prompt, number: {"text": str(len(re.search(r">\n(\w+)\n", prompt)[1]))}, fate) as server:
        found = judge(tmp_path, block(server, "anthropic", batch=True), ["one", "two", "three"])
        assert {text: each["value"] for text, each in found.items()} == {"one": 3, "two": 3, "three": 5}
        assert [len(requests) for requests in server.batches.values()] == [3, 2] and server.prompts == []
        assert all(len(each["custom_id"]) == 48 for requests in server.batches.values() for each in requests)
        judge(tmp_path, block(server, "anthropic", batch=True), ["one", "two", "three"])
        assert len(server.batches) == 2


@pytest.mark.parametrize("known", [True, False], ids=["id on record", "id lost"])
def test_a_batch_survives_its_job(tmp_path, monkeypatch, known):
    """Killed after the batch was created: it is found again, by its id or among those of the account, and no other is made."""
    monkeypatch.setattr(anthropic_judge, "POLL_SECONDS", 0.01)

    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    with JudgeServer(lambda prompt, number: {"text": "9"}) as server:
        with monkeypatch.context() as patch, pytest.raises(Killed):
            if known:
                patch.setattr(anthropic_judge.AnthropicJudge, "wait_for", die)
            else:
                original = paid.writing_to and anthropic_judge.write_json
                patch.setattr(anthropic_judge, "write_json", lambda path, note: die() if note["id"] else original(path, note))
            judge(tmp_path, block(server, "anthropic", batch=True), ["a", "b"])
        assert read_json(tmp_path / "pending_batch.json")["id"] == ("msgbatch_0" if known else None)
        found = judge(tmp_path, block(server, "anthropic", batch=True), ["a", "b"])
        assert [each["value"] for each in found.values()] == [9, 9]
        assert len(server.batches) == 1 and not (tmp_path / "pending_batch.json").exists()
