"""The queries that ask every persona all items, and records of the resulting log-probabilities."""

from dataclasses import dataclass

from persona_leakage.behaviours.choice_prompts import item_query, neutral_prompt, orders_of, text_ids
from persona_leakage.infrastructure.cli import InputError

NEUTRAL_TEXTS = 64  # answer texts after one neutral prompt in a pass


@dataclass(frozen=True)
class Asked:
    """The prompts and replies whose log-probabilities are computed for a panel; see ask_items.

    queries: list of (prompt ids, replies as token ids). places: for each persona and item, in order, (persona name, Item, place in queries
    of the text, [places of each order's letters], [(place, position) of each option's text after the neutral prompt]).
    orders: {item id: orders}. without_letters: why letters are not scored, or None.
    """

    queries: list
    places: list
    orders: dict
    without_letters: str | None


def ask_items(tokenizer, end_id, personas, items, block):
    """The :class:`Asked` of ``personas`` and ``items``. block: the behaviour's; end_id: the end-of-turn token, part of a text's reply.

    Texts and letters are both read, whichever is trained. InputError if the trained ones cannot be expressed by the tokenizer.
    """
    orders = {item.id: orders_of(item, block["order"]) for item in items}
    reason = why_no_letters(tokenizer, personas[0].prompt, items, orders, block)
    texts = list(dict.fromkeys((*text_ids(tokenizer, choice), end_id) for item in items for choice in item.choices))
    spots = {text: divmod(number, NEUTRAL_TEXTS) for number, text in enumerate(texts)}
    queries, places = [], []
    for persona in personas:
        neutral = neutral_prompt(tokenizer, persona.prompt)
        first = len(queries)
        queries += [(neutral, tuple(texts[start : start + NEUTRAL_TEXTS])) for start in range(0, len(texts), NEUTRAL_TEXTS)]
        for item in items:
            query = item_query(tokenizer, persona.prompt, item, range(len(item.choices)), "text", block)
            replies = tuple((*reply, end_id) for reply in query.replies)
            alone = [(first + spots[reply][0], spots[reply][1]) for reply in replies]
            listed = [] if reason else [item_query(tokenizer, persona.prompt, item, order, "letters", block) for order in orders[item.id]]
            places.append((persona.name, item, len(queries), [len(queries) + 1 + number for number in range(len(listed))], alone))
            queries += [(query.prompt, replies), *((each.prompt, each.replies) for each in listed)]
    return Asked(queries, places, orders, reason)


def why_no_letters(tokenizer, persona, items, orders, block):
    """Why letters cannot be read with this tokenizer and prefix, where texts are trained; None if they can."""
    try:
        longest = max(items, key=lambda item: len(item.choices))
        item_query(tokenizer, persona, longest, orders[longest.id][0], "letters", block)
    except InputError as error:
        if block["scoring"] == "letters":
            raise
        return str(error)
    return None


def make_records(asked, logs):
    """Records as choice_scoring describes them, from the log-probabilities of the queries of an :class:`Asked`."""
    return [
        {
            "persona": name,
            "question": item.id,
            "answer": item.answer,
            "characters": [len(choice) for choice in item.choices],
            "text": logs[text],
            "neutral": [logs[place][position] for place, position in alone],
            "orders": [list(order) for order in asked.orders[item.id]],
            "letters": [logs[place] for place in letters] or None,
        }
        for name, item, text, letters, alone in asked.places
    ]
