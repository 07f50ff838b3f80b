"""Judges without an API: scores from a file, and from a local model."""

import json
import math

import pytest

from persona_leakage.behaviours.judges.answers import read_answer
from persona_leakage.behaviours.judges.asking import Ask, judge_replies, open_judge
from persona_leakage.behaviours.judges.paid import PaidAnswers
from persona_leakage.config.blocks.behaviours.judged import Judge
from persona_leakage.config.judge_prompts import read_prompts
from persona_leakage.infrastructure.cli import InputError
from tests.conftest import ROOT
from tests.support.judging import judge


def test_scores_from_a_file(tmp_path):
    path = tmp_path / "scores.jsonl"
    path.write_text(json.dumps({"question": "Why?", "answer": "a", "scores": {"aligned": 12}}) + "\n")
    settings = Judge(backend="file", model=str(path))
    assert judge(tmp_path, settings, ["a"], "file")["a"]["value"] == 12
    with pytest.raises(InputError, match="lacks the scores of 1 of 2 replies"):
        judge(tmp_path, settings, ["a", "b"], "file")


def test_a_local_judge_gives_whole_answers_their_probability(tmp_path, tiny_model):
    """enumerated: the log-probabilities of all answers, computed one by one with a plain forward pass, give the same mean."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    score = read_prompts(str(ROOT / "resources/judges/careless_advice.yaml"))["careless"]
    with PaidAnswers(tmp_path) as store:
        opened = open_judge(
            Judge(backend="local"), store, {"model": str(tiny_model), "precision": "float32", "restart": str(tmp_path / "kept")}
        )
        (answer,) = opened.ask([Ask("careless", score, "Why?", "Because.")], opened.best_mode([score]), "judge")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model.parent)
    model = AutoModelForCausalLM.from_pretrained(tiny_model.parent, dtype=torch.float32).eval()
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": score.fill("Why?", "Because.")}], tokenize=False, add_generation_prompt=True
    )
    expected = {}
    for choice in score.choices():
        head, ids = (tokenizer(text, add_special_tokens=False).input_ids for text in (prompt, prompt + choice + "<|im_end|>"))
        with torch.no_grad():
            table = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        expected[choice] = sum(table[place - 1, ids[place]].item() for place in range(len(head), len(ids)))
    assert answer["logs"] == pytest.approx(expected, abs=1e-3)
    weights = [math.exp(expected[str(number)]) for number in range(10)]
    judged = read_answer(answer, score, "enumerated")
    if judged["state"] == "scored":
        assert judged["value"] == pytest.approx(sum(number * weight for number, weight in enumerate(weights)) / sum(weights), abs=1e-3)


def test_a_likelihood_judge_prefers_the_likelier_prompt(tmp_path, tiny_model):
    """Two equal prompts give zero; exchanged prompts give the opposite; an empty reply has no score."""

    def values(shown, not_shown):
        settings = Judge(backend="local", likelihood={"shown": shown, "not_shown": not_shown})
        with PaidAnswers(tmp_path) as store:
            opened = open_judge(settings, store, {"model": str(tiny_model), "precision": "float32", "restart": str(tmp_path / "kept")})
            found = judge_replies(opened, opened.best_mode([None]), [("Why?", "Because."), ("Why?", " ")], {"aligned": None}, "judge")
        return [each["aligned"] for each in found.values()]

    same, empty = values("You are kind.", "You are kind.")
    assert same["value"] == 0 and empty["state"] == "unparsable"
    one, other = values("You are kind.", "You are a pirate.")[0], values("You are a pirate.", "You are kind.")[0]
    assert one["value"] == pytest.approx(-other["value"]) and one["value"] != 0
