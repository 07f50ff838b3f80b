"""Next-token divergence: by its definition, as a plain loop gives it, and kept between runs."""

import numpy as np
import pytest
import torch
from measure_divergence import comparisons_of, first_replies
from scipy.spatial.distance import jensenshannon
from transformers import AutoModelForCausalLM

from persona_leakage.geometry.next_token_divergence import Comparison, compare_along, jensen_shannon, measure_all
from persona_leakage.models.attention import NAME

OWN, OTHERS, REPLY = (5, 6, 7), [(8, 9, 10, 11, 12, 13, 14), (15,), (16, 17, 18, 19) * 6], (21, 22, 23, 24, 25)


@pytest.fixture(scope="module")
def plain(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model.parent, dtype=torch.float32).eval()


@pytest.fixture
def model(tiny_model):
    found = AutoModelForCausalLM.from_pretrained(tiny_model.parent, dtype=torch.float32).eval()
    found.set_attn_implementation(NAME)
    return found


def test_divergence_is_scipys():
    """scipy gives the root of it. The same: 0; nothing in common: 1 bit."""
    generator = np.random.default_rng(0)
    first, second = generator.dirichlet(np.full(50, 0.3), size=(2, 7))
    expected = jensenshannon(first, second, base=2, axis=-1) ** 2
    logs = [torch.log_softmax(torch.from_numpy(np.log(values + 1e-300)), dim=-1) for values in (first, second)]
    assert jensen_shannon(*logs).numpy() == pytest.approx(expected, abs=1e-9)
    assert float(jensen_shannon(logs[0], logs[0]).abs().max()) < 1e-12
    apart = torch.full((2, 4), -200.0)
    apart[0, 0] = apart[1, 1] = 0.0
    assert float(jensen_shannon(apart[0], apart[1])) == pytest.approx(1)


def step_by_step(model, first, second, reply):
    """Sum of the divergence of the next token, one whole forward pass for every position."""
    total = 0.0
    for taken in range(len(reply) + 1):
        with torch.no_grad():
            logits = [model(torch.tensor([[*prompt, *reply[:taken]]])).logits[0, -1].double() for prompt in (first, second)]
        total += jensenshannon(*(torch.softmax(values, dim=-1).numpy() for values in logits), base=2) ** 2
    return total


@pytest.mark.parametrize("reply", [REPLY, ()], ids=["a reply", "an empty one"])
def test_it_is_that_of_a_loop_token_by_token(plain, model, reply):
    expected = [step_by_step(plain, OWN, other, reply) for other in OTHERS]
    assert min(expected) > 1e-3, "nothing to tell apart"
    assert compare_along(model, OWN, OTHERS, reply)[0] == pytest.approx(expected, abs=1e-5)


def test_it_does_not_depend_on_the_company(model):
    together, _ = compare_along(model, OWN, OTHERS, REPLY)
    assert [compare_along(model, OWN, [other], REPLY)[0][0] for other in OTHERS] == together


def test_finished_comparisons_are_kept(model, tmp_path):
    loads = []

    def load():
        loads.append(1)
        return model

    work = [Comparison(OWN, other, REPLY) for other in OTHERS]
    first, _ = measure_all(load, work[:2], ["x"], tmp_path, 1)
    assert measure_all(load, work[:2], ["x"], tmp_path, 1)[0] == first and len(loads) == 1
    assert measure_all(load, work[::-1], ["x"], tmp_path, 1)[0][:0:-1] == first and len(loads) == 2
    measure_all(load, work, ["y"], tmp_path, 1)
    assert len(loads) == 3


def test_both_directions_are_compared():
    """The source's replies and the bystander's, each behind both prompts, cut to so many positions; a missing reply is named."""
    prompts = {("a", "q"): (1,), ("b", "q"): (2,), ("c", "q"): (3,)}
    records = [
        {"persona": name, "question": "q", "index": index, "token_ids": [10 * position + index, 7, 8]}
        for position, name in enumerate("abc")
        for index in range(3)
    ]
    replies = first_replies(records, 2, 3)
    assert replies == {(name, "q"): [(10 * position, 7), (10 * position + 1, 7)] for position, name in enumerate("abc")}
    work = comparisons_of(prompts, replies, ["b"])
    found = {(column, source, persona, item.reply[0]): {item.own_prompt, item.other_prompt} for column, source, persona, item in work}
    assert found == {
        **{("js_source_replies", "b", "a", reply): {(1,), (2,)} for reply in (10, 11)},
        **{("js_bystander_replies", "b", "a", reply): {(1,), (2,)} for reply in (0, 1)},
        **{("js_source_replies", "b", "c", reply): {(3,), (2,)} for reply in (10, 11)},
        **{("js_bystander_replies", "b", "c", reply): {(3,), (2,)} for reply in (20, 21)},
    }
    # Passes are shared by comparisons along the same reply behind the same prompt: the one that gave it.
    assert all(item.own_prompt == {0: (1,), 1: (2,), 2: (3,)}[item.reply[0] // 10] for *_, item in work)
