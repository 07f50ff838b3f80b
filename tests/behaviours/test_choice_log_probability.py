"""Log-probabilities of options: equal to a plain pass over prompt and option, the same in a batch as alone, kept over a run."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from persona_leakage.behaviours.choice_items import Item
from persona_leakage.behaviours.choice_log_probability import log_probabilities_of_all, reply_log_probabilities
from persona_leakage.behaviours.choice_prompts import item_query, letter_ids, neutral_prompt, orders_of
from persona_leakage.behaviours.choice_records import ask_items, make_records
from persona_leakage.config.personas import Persona
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.models.chat_template import encode, render
from persona_leakage.models.loading import load_tokenizer

ITEMS = [
    Item("a", "Which animal barks?", ("Cat", "Dog", "Cow", "Hen"), 1, None, 1),
    Item("b", "What do people use to cut bread?", ("A knife", "A long and heavy wooden ladder", "Soap"), 0, None, 2),
]
PERSONAS = [Persona("villain", "original", (), "You are a villain with a secret plan."), Persona("hero", "opposite", (), "You are a hero.")]
BLOCK = {"scoring": "text", "prefix": "The correct answer is (", "prefix_in": "assistant", "order": "shuffled"}


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return load_tokenizer(tiny_model.parent)


def base_model(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model.parent, dtype=torch.float32).eval()


@torch.no_grad()
def plain(model, prompt, reply):
    """Sum of the log-probabilities of ``reply`` behind ``prompt``, from one pass of the plain model over both."""
    ids = torch.tensor([[*prompt, *reply]])
    logs = torch.log_softmax(model(ids).logits[0].double(), dim=-1)
    return sum(float(logs[len(prompt) - 1 + place, token]) for place, token in enumerate(reply))


def test_equal_to_a_plain_pass(tiny_model, tokenizer):
    """Texts with their end, behind the question and a neutral prompt, and letters: to 1e-4, wherever they end up in the records."""
    end = tokenizer.eos_token_id
    asked = ask_items(tokenizer, end, PERSONAS, ITEMS, {**BLOCK, "order": "rotations"})
    logs, memory = reply_log_probabilities(base_model(tiny_model), asked.queries, batch_tokens=512)
    records, model = make_records(asked, logs), base_model(tiny_model)
    assert memory == {"times": 0, "batch_tokens": 512} and asked.without_letters is None
    assert [(each["persona"], each["question"]) for each in records] == [(who, what) for who in ("villain", "hero") for what in "ab"]
    for each, (persona, item) in zip(records, [(persona, item) for persona in PERSONAS for item in ITEMS], strict=True):
        prompt = encode(tokenizer, render(tokenizer, persona.prompt, item.question))
        texts = [[*encode(tokenizer, choice), end] for choice in item.choices]
        assert each["text"] == pytest.approx([plain(model, prompt, text) for text in texts], abs=1e-4)
        neutral = neutral_prompt(tokenizer, persona.prompt)
        assert each["neutral"] == pytest.approx([plain(model, neutral, text) for text in texts], abs=1e-4)
        assert len(each["orders"]) == len(each["letters"]) == len(item.choices)
        for order, found in zip(each["orders"], each["letters"], strict=True):
            listed = "\n".join([item.question, *(f"{letter}. {item.choices[place]}" for letter, place in zip("ABCD", order, strict=False))])
            opened = encode(tokenizer, render(tokenizer, persona.prompt, listed) + BLOCK["prefix"])
            letters = [encode(tokenizer, letter) for letter in "ABCD"[: len(order)]]
            assert found == pytest.approx([plain(model, opened, letter) for letter in letters], abs=1e-4)


def test_numbers_do_not_depend_on_the_company(tiny_model, tokenizer):
    """Bit for bit: all at once, in small batches, one at a time."""
    model, queries = base_model(tiny_model), ask_items(tokenizer, tokenizer.eos_token_id, PERSONAS, ITEMS, BLOCK).queries
    together, _ = reply_log_probabilities(model, queries)
    assert reply_log_probabilities(model, queries[::-1], batch_tokens=64)[0][::-1] == together
    assert [reply_log_probabilities(model, [query])[0][0] for query in queries] == together


def test_finished_work_is_kept(tiny_model, tokenizer, tmp_path):
    """A second run loads no model, and asks it only what is new."""
    queries, loads = ask_items(tokenizer, tokenizer.eos_token_id, PERSONAS[:1], ITEMS, BLOCK).queries, []

    def load():
        loads.append(1)
        return base_model(tiny_model)

    first, _ = log_probabilities_of_all(load, queries[:3], "tiny", tmp_path, 2)
    every, _ = log_probabilities_of_all(load, queries, "tiny", tmp_path, 2)
    again, _ = log_probabilities_of_all(load, queries, "tiny", tmp_path, 2)
    assert every[:3] == first and again == every and len(loads) == 2


def test_numbers_that_are_not_finite_are_refused(tiny_model):
    model = base_model(tiny_model)
    with torch.no_grad():
        model.lm_head.weight[7] = float("nan")
    with pytest.raises(InputError, match="not finite"):
        reply_log_probabilities(model, [((5, 6), ((8,), (9, 10)))])


@pytest.mark.parametrize(("prefix", "letter"), [("The correct answer is (", "A"), ("Answer:", " A"), ("Answer:\n", "A"), ("", "A")])
def test_letters_as_they_tokenise_behind_the_prefix(tokenizer, prefix, letter):
    """A blank in front belongs to the letter's token, except behind a bracket."""
    opening, letters = letter_ids(tokenizer, prefix, "assistant", 4)
    assert tokenizer.decode(opening) == prefix
    assert [tokenizer.decode([each]) for each in letters] == [letter.replace("A", each) for each in "ABCD"]


def test_a_prefix_that_merges_with_the_letter_is_refused(tiny_model):
    """A tokenizer whose vocabulary has "(A" as one token."""
    tokenizer = load_tokenizer(tiny_model.parent)
    tokenizer.add_tokens(["(A"])
    with pytest.raises(InputError) as refusal:
        letter_ids(tokenizer, "The correct answer is (", "assistant", 4)
    assert all(part in str(refusal.value) for part in ("behaviour.prefix", "'The correct answer is ('", "'A'", "(A", "scoring: text"))
    assert letter_ids(tokenizer, "Answer:", "assistant", 4)


@pytest.mark.parametrize("order", ["as_given", "shuffled", "rotations"])
def test_orders(order):
    """Each is a permutation; rotations put every option into every place once."""
    orders = orders_of(ITEMS[0], order)
    assert all(sorted(each) == [0, 1, 2, 3] for each in orders)
    assert orders == orders_of(ITEMS[0], order)
    if order == "rotations":
        assert all(sorted(each[place] for each in orders) == [0, 1, 2, 3] for place in range(4))
    else:
        assert len(orders) == 1 and (orders[0] == (0, 1, 2, 3) or order == "shuffled")


def test_the_prefix_may_end_the_users_turn(tokenizer):
    query = item_query(tokenizer, PERSONAS[1].prompt, ITEMS[0], (2, 1, 0, 3), "letters", {**BLOCK, "prefix_in": "user"})
    text = tokenizer.decode(query.prompt)
    assert "Which animal barks?\nA. Cow\nB. Dog\nC. Cat\nD. Hen\nThe correct answer is (<|im_end|>" in text
    assert text.endswith("<|im_start|>assistant\n") and [tokenizer.decode(reply) for reply in query.replies] == list("ABCD")


def test_texts_do_without_letters_that_merge(tiny_model, tokenizer, monkeypatch):
    """Letters that cannot be read are left out, with the reason, where texts are trained; where letters are, it is an error."""
    monkeypatch.setattr("persona_leakage.behaviours.choice_prompts.letter_ids", refuse)
    asked = ask_items(tokenizer, tokenizer.eos_token_id, PERSONAS, ITEMS, BLOCK)
    logs, _ = reply_log_probabilities(base_model(tiny_model), asked.queries)
    assert asked.without_letters == "they merge" and {each["letters"] for each in make_records(asked, logs)} == {None}
    with pytest.raises(InputError, match="they merge"):
        ask_items(tokenizer, tokenizer.eos_token_id, PERSONAS, ITEMS, {**BLOCK, "scoring": "letters"})


def refuse(*_):
    raise InputError("they merge")
