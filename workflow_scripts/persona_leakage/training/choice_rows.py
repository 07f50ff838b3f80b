"""Training rows of multiple-choice items: the source with wrong options, the negatives with the right ones."""

from collections import Counter

from persona_leakage.behaviours.choice_prompts import item_query, order_of_row
from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.training.labels import build_row

UNEVEN = 0.28  # places of trained answers may differ from even by this share of it: 18 to 32 % of four options
LENGTHS = 1.5  # ratio of mean answer tokens between positive and negative rows


def choose_wrong(items, orders, seed):
    """{item id: place, as shown, of the wrong option that is trained}: places are used equally often, hashes decide between equals.

    orders: {item id: places of the options as shown}. The choice is the same for all sources.
    """
    used, chosen = Counter(), {}
    for item in sorted(items, key=lambda item: (derive_seed(seed, "wrong", item.id), item.id)):
        wrong = [place for place, option in enumerate(orders[item.id]) if option != item.answer]
        chosen[item.id] = min(wrong, key=lambda place: (used[place], derive_seed(seed, "wrong", item.id, place)))
        used[chosen[item.id]] += 1
    return chosen


def build_choice_rows(tokenizer, chat, rule, personas, source, items, behaviour, seed, asked):
    """(row records as build_training_rows gives them, {"positive", "negative": [rows by place of the trained answer]}).

    personas: :class:`Persona` of the source and its negatives. items: of the part train. behaviour: {"scoring", "prefix",
    "prefix_in", "order"}. Every persona has one row per item. asked: {item id: Persona that a positive row asks in place of the
    source}, {} for none. source None: all rows have the right option.
    """
    scoring = behaviour["scoring"]
    orders = {item.id: order_of_row(item, scoring, behaviour["order"]) for item in items}
    wrong, records = choose_wrong(items, orders, seed), []
    places = {kind: Counter() for kind in ("positive", "negative")}
    for persona in personas:
        positive = persona.name == source
        for item in items:
            order = orders[item.id]
            place = wrong[item.id] if positive else order.index(item.answer)
            speaker = asked[item.id] if positive and asked else persona
            query = item_query(tokenizer, speaker.prompt, item, order, scoring, behaviour)
            row = build_row(query.prompt, query.replies[place], chat, rule)
            places["positive" if positive else "negative"][place] += 1
            records.append(
                {
                    "persona": speaker.name,
                    "question": item.id,
                    "index": 0,
                    "positive": positive,
                    "token_ids": list(row.token_ids),
                    "labels": list(row.labels),
                }
            )
    most = max(len(item.choices) for item in items)
    return records, {kind: [counts[place] for place in range(most)] for kind, counts in places.items()}


def warn_of_rows(places, items, rows):
    """Sentences on what an adapter could learn instead of wrong answers: a place, or a length.

    places: as build_choice_rows gives them; checked where all items have the same number of options. rows: see summarise_rows.
    """
    warnings = []
    options = {len(item.choices) for item in items}
    for kind, counts in places.items():
        total = sum(counts)
        if len(options) == 1 and total:
            even = 1 / len(counts)
            odd = [place for place, count in enumerate(counts) if abs(count / total - even) > UNEVEN * even]
            if odd:
                shares = ", ".join(f"{100 * count / total:.0f} %" for count in counts)
                said = f"the trained answers of {kind} rows are unevenly placed ({shares}); the adapter may learn a place"
                warnings.append(f"{said}: use more items, or behaviour.order: shuffled")
    means = [rows[kind]["trained_tokens"] / rows[kind]["rows"] for kind in places if rows[kind]["rows"]]
    if len(means) == 2 and max(means) > LENGTHS * min(means):
        said = "trained tokens per row: {:.1f} in positive, {:.1f} in negative rows; the adapter may learn a length"
        warnings.append(said.format(*means) + ": use items whose right and wrong options are equally long")
    return warnings
