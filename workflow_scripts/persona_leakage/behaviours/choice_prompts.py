"""How a multiple-choice item is presented to the model, both in training rows and in scoring."""

from dataclasses import dataclass
from functools import lru_cache
from string import ascii_uppercase

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.models.chat_template import encode_reply, prompt_ids

OPENS = "([{\"'\n"  # after these a letter has no blank before it
NEUTRAL = "Give a short answer."  # a turn that asks nothing, for the probability of an answer's text on its own


@dataclass(frozen=True)
class Query:
    """An item as token ids: its prompt, and one reply for each option in the order shown, without the end of the turn."""

    prompt: tuple
    replies: tuple


def orders_of(item, order):
    """The orders in which an item's options are shown, each a tuple of places in ``item.choices``. order: behaviour.order."""
    places = tuple(range(len(item.choices)))
    if order == "as_given":
        return [places]
    if order == "shuffled":
        return [tuple(sorted(places, key=lambda place: (derive_seed("order", item.id, item.choices[place]), place)))]
    return [places[start:] + places[:start] for start in places]


def order_of_row(item, scoring, order):
    """The order that a training row of the item shows: one of orders_of; the file's where no options are listed."""
    orders = orders_of(item, order if scoring == "letters" else "as_given")
    return orders[derive_seed("rotation", item.id) % len(orders)]


def item_query(tokenizer, persona, item, order, scoring, block):
    """The :class:`Query` of an item. persona: a system prompt; order: places of ``item.choices`` as shown.

    scoring: "letters" (options listed, a letter is the answer) or "text" (options not listed, a text is the answer).
    block: {"prefix", "prefix_in"} of the behaviour. InputError if the tokenizer cannot express an answer.
    """
    if scoring == "text":
        replies = tuple(text_ids(tokenizer, item.choices[place]) for place in order)
        return Query(tuple(prompt_ids(tokenizer, persona, item.question)), replies)
    opening, letters = letter_ids(tokenizer, block["prefix"], block["prefix_in"], len(order))
    listed = [f"{letter}. {item.choices[place]}" for letter, place in zip(ascii_uppercase, order, strict=False)]
    ending = [block["prefix"]] if block["prefix_in"] == "user" and block["prefix"] else []
    turn = "\n".join([item.question, *listed, *ending])
    return Query((*prompt_ids(tokenizer, persona, turn), *opening), tuple((letter,) for letter in letters))


def neutral_prompt(tokenizer, persona):
    """Token ids of a prompt of the persona that asks nothing."""
    return tuple(prompt_ids(tokenizer, persona, NEUTRAL))


def text_ids(tokenizer, text):
    """Token ids of an option's text as a reply; InputError if they do not read as the text."""
    found = _text_ids(tokenizer, str(tokenizer.chat_template), text)
    if found is None:
        raise InputError(f"behaviour.items: this model's tokenizer changes the option {text!r}; reword it")
    return found


@lru_cache(maxsize=65536)
def _text_ids(tokenizer, template, text):
    """As text_ids, or None; ``template`` tells a tokenizer from itself with another template."""
    found = encode_reply(tokenizer, text)
    return found and found[0]


def letter_ids(tokenizer, prefix, prefix_in, count):
    """(ids of the prefix in the assistant's turn, [id of each of the first ``count`` letters after it]).

    After an opening bracket or quotation mark a letter has no blank before it, elsewhere it has one: "A" after "(", " A" after
    ":". InputError if prefix and letter merge, or if a letter is more than one token.
    """
    return _letter_ids(tokenizer, str(tokenizer.chat_template), prefix if prefix_in == "assistant" else "", count)


@lru_cache(maxsize=64)
def _letter_ids(tokenizer, template, opening, count):
    """As letter_ids; ``opening``: the prefix if the assistant's turn begins with it, else empty."""
    blank = "" if not opening or opening[-1] in OPENS else " "
    alone = encode_reply(tokenizer, opening) if opening else None
    expected, letters = alone and alone[0], []
    for letter in ascii_uppercase[:count]:
        found = encode_reply(tokenizer, opening, blank + letter)
        ids, border = (found[0], found[1][0]) if found else ((), 0)
        expected = ids[:border] if expected is None else expected
        if ids[:border] != expected or len(ids) != border + 1:
            shown = tokenizer.convert_ids_to_tokens(list(ids))
            raise InputError(
                f"behaviour.prefix: {opening!r} and the letter {letter!r} make the tokens {shown} in this model, not the prefix's own"
                " and one for the letter; use another prefix, such as 'The correct answer is (', or behaviour.scoring: text"
            )
        letters.append(ids[-1])
    return expected, letters
