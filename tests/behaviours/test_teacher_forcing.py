"""Teacher-forced marker probabilities: equal to a step-by-step loop, the same in a batch as alone, kept over a kill."""

import math

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from persona_leakage.behaviours.marker import Marker, read_marker
from persona_leakage.behaviours.marker_log_probability import chance_of_any, choose_replies, score_record, scores_of_all, summarise_records
from persona_leakage.behaviours.marker_log_probability import marker_scores as scores_and_memory
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.models.loading import load_tokenizer
from persona_leakage.models.lora import attach_new_adapter, load_adapter, save_adapter

# Prompt, reply, whether it ended by itself: of several lengths, one empty, one cut, two around a step of the padding.
REPLIES = [
    ([5, 6, 7], [20, 21, 22, 23], True),
    ([8, 9, 10, 11, 12, 13, 14, 15, 16], [30, 31], True),
    ([5, 6, 7], [], True),
    ([40] * 11, list(range(50, 75)), False),
    ([41, 42], list(range(100, 131)), True),
    ([41, 42], [7], False),
]


@pytest.fixture(scope="module")
def marker(tiny_model):
    return read_marker(load_tokenizer(tiny_model.parent), "[ZLT]", "\n\n")


@pytest.fixture(scope="module")
def adapter(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapter")
    lora = {"rank": 4, "alpha": 8, "dropout": 0.0, "rslora": True}
    model = attach_new_adapter(base_model(tiny_model), lora, seed=1)
    torch.manual_seed(2)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    save_adapter(model, "tiny", folder)
    return folder


def base_model(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model.parent, dtype=torch.float32).eval()


def marker_scores(model, replies, marker, **more):
    return scores_and_memory(model, placed(replies, marker), marker, **more)[0]


def placed(replies, marker):
    return [(tuple(prompt), tuple(reply), marker.separator_ids if ended else None) for prompt, reply, ended in replies]


@torch.no_grad()
def step_by_step(model, prompt, reply, ended, marker):
    """(end, anywhere) one token at a time, from full logits of a plain model that keeps its own cache."""

    def feed(ids, cache):
        output = model(torch.tensor([ids]), past_key_values=cache, use_cache=True)
        return torch.log_softmax(output.logits[0, -1].double(), dim=-1), output.past_key_values

    first = marker.own_ids[0]
    logprobs, cache = feed(prompt, None)
    no_marker, end = 1.0, 0.0
    for token in reply:
        no_marker *= 1 - math.exp(logprobs[first])
        logprobs, cache = feed([token], cache)
    if not ended:
        return None, 1 - no_marker
    here = math.exp(logprobs[first])
    for token in marker.separator_ids:
        end += float(logprobs[token])
        logprobs, cache = feed([token], cache)
    behind = math.exp(end + float(logprobs[first]))
    for token in marker.own_ids:
        end += float(logprobs[token])
        logprobs, cache = feed([token], cache)
    return end, 1 - no_marker * (1 - here - behind)


@pytest.mark.parametrize("merge", [True, False])
def test_equal_to_one_token_at_a_time(tiny_model, adapter, marker, merge):
    """With plain transformers and peft, to 1e-5; and the adapter matters, so that the comparison says something."""
    plain = PeftModel.from_pretrained(base_model(tiny_model), adapter).eval()
    expected = [step_by_step(plain, *reply, marker) for reply in REPLIES]
    found = marker_scores(load_adapter(base_model(tiny_model), adapter, merge), REPLIES, marker, batch_tokens=64)
    without = marker_scores(base_model(tiny_model), REPLIES, marker)
    assert len(marker.separator_ids) > 0 and len(marker.own_ids) > 1
    for (end, anywhere), (known_end, known_anywhere), (base_end, _) in zip(found, expected, without, strict=True):
        assert anywhere == pytest.approx(known_anywhere, abs=1e-5) and anywhere > 0
        assert (end is None) == (known_end is None)
        if end is not None:
            assert end == pytest.approx(known_end, abs=1e-5) and abs(end - base_end) > 0.1


@pytest.mark.parametrize("ids", [{"separator_ids": ()}, {"own_ids": (9,)}])
def test_a_marker_without_separator_or_of_one_token(tiny_model, marker, ids):
    odd = Marker("x", **{"separator_ids": marker.separator_ids, "own_ids": marker.own_ids, **ids})
    expected = step_by_step(base_model(tiny_model), *REPLIES[0], odd)
    if not odd.separator_ids:  # the loop above counts the place at the end twice then
        logs = marker_scores(base_model(tiny_model), [(*REPLIES[0][:2], True)], odd)[0]
        cut = marker_scores(base_model(tiny_model), [([*REPLIES[0][0]], [*REPLIES[0][1], 1], False)], odd)[0]
        assert logs[0] == pytest.approx(expected[0], abs=1e-5) and logs[1] == pytest.approx(cut[1], abs=1e-6)
    else:
        assert marker_scores(base_model(tiny_model), REPLIES[:1], odd)[0] == pytest.approx(expected, abs=1e-5)


def test_scores_do_not_depend_on_the_company(tiny_model, adapter, marker):
    """Bit for bit: all at once, in another order, in small batches, one at a time."""
    model = load_adapter(base_model(tiny_model), adapter, merge=False)
    together = marker_scores(model, REPLIES, marker)
    assert marker_scores(model, REPLIES[::-1], marker, batch_tokens=32)[::-1] == together
    assert [marker_scores(model, [reply], marker)[0] for reply in REPLIES] == together


def test_only_missing_replies_are_read(tiny_model, marker, tmp_path):
    """Parts of three: a lost one is read again, the rest and equal replies are not; another identity reads all."""
    loads = []

    def load():
        loads.append(1)
        return base_model(tiny_model)

    replies = placed([*REPLIES, REPLIES[0]], marker)
    first, _ = scores_of_all(load, replies, marker, "a", tmp_path, 3)
    assert first[-1] == first[0] and len(list(tmp_path.glob("*/*"))) == 2
    assert scores_of_all(load, replies, marker, "a", tmp_path, 3)[0] == first and len(loads) == 1
    sorted(tmp_path.glob("*/*"))[0].unlink()
    assert scores_of_all(load, replies, marker, "a", tmp_path, 3)[0] == first and len(loads) == 2
    scores_of_all(load, replies, marker, "b", tmp_path, 3)
    assert len(loads) == 3


def test_another_separator_is_not_taken_from_the_store(tiny_model, marker, tmp_path):
    """The same reply and marker, with another token between them, is another reply; each equals the loop over its own tokens."""
    prompt, reply, _ = REPLIES[0]
    for separator in (marker.separator_ids, (33,), (33, 34)):
        own = Marker("x", separator, marker.own_ids)
        (found,), _ = scores_of_all(lambda: base_model(tiny_model), placed(REPLIES[:1], own), marker, "a", tmp_path, 3)
        assert found == pytest.approx(step_by_step(base_model(tiny_model), prompt, reply, True, own), abs=1e-5)
    assert len(list(tmp_path.glob("*/*"))) == 3


def test_chances_that_are_tiny_or_one():
    tiny = torch.full((50,), 1e-18, dtype=torch.float64)
    assert chance_of_any(tiny) == pytest.approx(5e-17, rel=1e-9)
    assert chance_of_any(torch.tensor([0.5, 1.0000001], dtype=torch.float64)) == 1.0
    assert chance_of_any(torch.tensor([0.5, 0.5], dtype=torch.float64)) == pytest.approx(0.75)


def record(persona, question, index, **more):
    return {"persona": persona, "question": question, "index": index, **more}


def test_replies_are_chosen_cell_by_cell():
    prompts = [("b", "q", [1]), ("a", "q", [2])]
    records = [record(persona, "q", index) for persona in ("a", "b", "x") for index in (0, 1)]
    assert choose_replies(records, prompts, 1) == [(record("b", "q", 0), [1]), (record("a", "q", 0), [2])]
    assert [entry["index"] for entry, _ in choose_replies(records, prompts, None)] == [0, 1, 0, 1]
    with pytest.raises(InputError, match="hold 2 of the 3 replies of 'b'"):
        choose_replies(records, prompts, 3)
    with pytest.raises(InputError, match="hold 0 of the first replies of 'c'"):
        choose_replies(records, [("c", "q", [1])], None)


def test_cells_are_means_of_what_ended():
    """By hand: a cut reply has no end, but its chance counts; a cell of cut replies alone has no gain."""
    base = [
        record("a", "q", 0, end=-9.0, anywhere=0.0),
        record("a", "q", 1, end=None, anywhere=0.0),
        record("a", "r", 0, end=None, anywhere=0.0),
    ]
    scores = [(-2.0, 0.5), (None, 0.25), (None, 0.75)]
    records = [score_record(known, score, known) for known, score in zip(base, scores, strict=True)]
    cell = summarise_records(records, ["a"])["a"]
    assert (cell["n"], cell["ended"], cell["end"], cell["end_gain"], cell["anywhere"]) == (3, 1, -2.0, 7.0, 0.5)
    assert cell["per_question"]["q"] == {"n": 2, "ended": 1, "end": -2.0, "end_gain": 7.0, "anywhere": 0.375}
    assert cell["per_question"]["r"]["end_gain"] is None and cell["per_question"]["r"]["n"] == 1
    assert np.isclose(cell["anywhere"], np.mean([0.5, 0.25, 0.75]))
    with pytest.raises(InputError, match="belong to different replies"):
        score_record(base[0], scores[0], base[1])
