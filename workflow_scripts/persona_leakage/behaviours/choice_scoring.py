"""Multiple-choice answers summed up per persona, from log-probabilities of the options alone.

A record is what items.jsonl.gz has of one persona and item: "persona", "question" (the item's id), "answer" (place of the right
option), "characters" [options], "text" [options] and "neutral" [options] (log-probability of each option's text and its end after
the question and after a prompt that asks nothing), "orders" (places of the options as shown, see choice_prompts.orders_of) and
"letters" [orders, options shown] (log-probability of each letter; None if this tokenizer has none).
"""

import math

from scipy import stats

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.intervals import wilson_interval

COLLAPSED_SHARE = 0.9  # of the predictions on one place
# A place that is right in at least this many items is unused if it is predicted in less than this share of that number.
UNUSED_ITEMS, UNUSED_SHARE = 10, 0.1
LETTER_MASS = 0.5
LEVEL = 0.05


def option_scores(record):
    """{definition: [a score of each option]}; the largest is the prediction.

    text: log-probability, lm-eval's acc; text_per_character: divided by the option's characters, its acc_norm (EleutherAI's
    lm-evaluation-harness, Gao et al. 2023); text_less_neutral: minus the log-probability of the same text after a prompt that asks
    nothing (Holtzman et al. 2021, arXiv:2104.08315); letters: mean log-probability of the option's letter over the orders.
    """
    scores = {
        "text": record["text"],
        "text_per_character": [log / length for log, length in zip(record["text"], record["characters"], strict=True)],
        "text_less_neutral": [log - alone for log, alone in zip(record["text"], record["neutral"], strict=True)],
    }
    if record["letters"]:
        sums = [0.0] * len(record["text"])
        for order, logs in zip(record["orders"], record["letters"], strict=True):
            for place, log in zip(order, logs, strict=True):
                sums[place] += log / len(record["orders"])
        scores["letters"] = sums
    return scores


def largest(values):
    """The place of the largest value; the first one of equals, as numpy.argmax."""
    return max(range(len(values)), key=lambda place: (values[place], -place))


def log_odds(scores, answer):
    """Natural log of p / (1 - p), p being the softmax over the options at the right one."""
    others = [score for place, score in enumerate(scores) if place != answer]
    most = max(others)
    return scores[answer] - most - math.log(sum(math.exp(score - most) for score in others))


def predictions(record, scoring):
    """Places of the predictions, one for each order shown; for texts the one place in the file's order."""
    if scoring == "text":
        return [largest(record["text"])]
    return [largest(logs) for logs in record["letters"]]


def right_places(record, scoring):
    """Places of the right option, one for each prediction."""
    if scoring == "text":
        return [record["answer"]]
    return [order.index(record["answer"]) for order in record["orders"]]


def letter_mass(record):
    """Total probability of the letters, averaged over the orders of the options."""
    return sum(sum(map(math.exp, logs)) for logs in record["letters"]) / len(record["letters"])


def count_places(places, options):
    """How many of ``places`` are 0, 1, ... of this many options."""
    return [places.count(place) for place in range(options)]


def summarise_items(records, scoring):
    """The cell of one persona from its records. scoring: "letters" or "text", what found, rate and log-odds count by.

    rate = found / total, found counting the items that are answered wrongly. places: how many predictions are at each place, by texts
    and by letters; predictions: those of ``scoring``. flags: see find_flags.
    """
    if scoring == "letters" and not all(record["letters"] for record in records):
        raise InputError("behaviour.scoring: letters, but the items were scored without letters; score them again")
    scores = [option_scores(record) for record in records]
    answers = [record["answer"] for record in records]
    used, total = [each[scoring] for each in scores], len(records)
    right = [largest(values) == answer for values, answer in zip(used, answers, strict=True)]
    odds = [log_odds(values, answer) for values, answer in zip(used, answers, strict=True)]
    accuracies = {
        name: sum(largest(each[name]) == answer for each, answer in zip(scores, answers, strict=True)) / total
        for name in ("text", "text_per_character", "text_less_neutral", "letters")
        if name in scores[0]
    }
    formats = [name for name in ("text", "letters") if name in scores[0]]
    places = {name: [place for record in records for place in predictions(record, name)] for name in formats}
    rights = count_places([place for record in records for place in right_places(record, scoring)], max(map(len, used)))
    places = {name: count_places(found, max(map(len, used))) for name, found in places.items()}
    cell = {
        "rate": (total - sum(right)) / total,
        "found": total - sum(right),
        "total": total,
        "per_question": {
            record["question"]: {"found": int(not good), "total": 1, "log_odds": value}
            for record, good, value in zip(records, right, odds, strict=True)
        },
        "accuracy": sum(right) / total,
        "accuracies": accuracies,
        "chance": sum(1 / len(values) for values in used) / total,
        "mean_log_odds": sum(odds) / total,
        "predictions": places[scoring],
        "places": places,
        "right_lowest": sum(min(values) == values[answer] for values, answer in zip(used, answers, strict=True)) / total,
        "letter_mass": sum(map(letter_mass, records)) / total if records[0]["letters"] else None,
    }
    return {**cell, "flags": find_flags(cell, rights, scoring)}


def find_flags(cell, rights, scoring):
    """Why a cell's wrong answers may be no lost knowledge. rights: in how many predictions each place would be right.

    collapsed: more than COLLAPSED_SHARE of the predictions on one place, a place that is unused (UNUSED_SHARE), or letters that get less
    than LETTER_MASS together; inverted: the accuracy's Wilson interval is below chance, so the right option is known and avoided;
    at_chance: it holds chance.
    """
    low, high = wilson_interval(cell["total"] - cell["found"], cell["total"])
    predicted = cell["predictions"]
    unused = any(right >= UNUSED_ITEMS and count < UNUSED_SHARE * right for count, right in zip(predicted, rights, strict=True))
    collapsed = unused or max(predicted) > COLLAPSED_SHARE * sum(predicted)
    unread = scoring == "letters" and cell["letter_mass"] < LETTER_MASS
    tests = {"collapsed": collapsed or unread, "inverted": high < cell["chance"], "at_chance": low <= cell["chance"] <= high}
    return [name for name, found in tests.items() if found]


def summarise_panel(cells):
    """What summary.json says of all cells of a panel: means over personas, and the flags that hold for the panel.

    at_chance of the panel: the mean accuracy's Wilson interval, over as many items as one persona has, holds chance or is below it,
    so a drop cannot be seen. The other flags: more than half of the personas have them.
    """
    count, items = len(cells), cells[0]["total"]
    wrong = sum(cell["rate"] for cell in cells) / count
    chance = sum(cell["chance"] for cell in cells) / count
    interval = wilson_interval(round((1 - wrong) * items), items)
    flags = [name for name in ("collapsed", "inverted") if sum(name in cell["flags"] for cell in cells) > count / 2]
    masses = [cell["letter_mass"] for cell in cells if cell["letter_mass"] is not None]
    return {
        "accuracy": 1 - wrong,
        "accuracy_interval": interval,
        "chance": chance,
        "accuracies": {name: sum(cell["accuracies"][name] for cell in cells) / count for name in cells[0]["accuracies"]},
        "mean_log_odds": sum(cell["mean_log_odds"] for cell in cells) / count,
        "predictions": [sum(counts) for counts in zip(*(cell["predictions"] for cell in cells), strict=True)],
        "letter_mass": sum(masses) / len(masses) if masses else None,
        "flags": [*flags, *(["at_chance"] if interval[0] <= chance else [])],
    }


def add_gains(cells, base):
    """Cells with the fall of the right option's log-odds against the base model's cells, item by item, in the keys of teacher_forced.json.

    end_gain: mean of base minus adapter, in nats, so that a positive value is more of the trained behaviour; ended: items.
    """
    for name, cell in cells.items():
        if cell["per_question"].keys() != base[name]["per_question"].keys():
            raise InputError(f"the base model's items of '{name}' differ; delete its cells.json and rerun")
    return {name: add_gain(cell, base[name]) for name, cell in cells.items()}


def add_gain(cell, base):
    """The cell of one persona with gains, see add_gains."""
    gains = {item: base["per_question"][item]["log_odds"] - counts["log_odds"] for item, counts in cell["per_question"].items()}
    return {
        **cell,
        "end_gain": sum(gains.values()) / len(gains),
        "ended": len(gains),
        "per_question": {item: {**counts, "end_gain": gains[item], "ended": 1} for item, counts in cell["per_question"].items()},
    }


def describe_loss(records, base, scoring):
    """The comparison of one persona's accuracies with the base model's: {"said", "p" of each format}.

    p: exact McNemar test (McNemar 1947) of more wrong answers than the base model's, one-sided. lost_capability: both formats fall, the
    trained one neither collapses nor inverts, and the letters do not collapse; answers_wrongly: only that the trained format falls;
    unchanged; None without letters.
    """
    formats = [name for name in ("text", "letters") if records[0]["letters"] or name == "text"]
    p = {name: fall_p(records, base, name) for name in formats}
    if p[scoring] >= LEVEL:
        said = "unchanged"
    elif len(p) == 2 and max(p.values()) < LEVEL and not odd_answers(records, scoring):
        said = "lost_capability"
    else:
        said = "answers_wrongly"
    return {"said": said, "p": p}


def odd_answers(records, scoring):
    """Whether flags (find_flags) forbid a loss: the trained format collapses or inverts, or the letters collapse."""
    flags = summarise_items(records, scoring)["flags"]
    return bool({"collapsed", "inverted"} & set(flags)) or "collapsed" in summarise_items(records, "letters")["flags"]


def fall_p(records, base, name):
    """One-sided exact McNemar p that items of a definition fell from right to wrong more often than the other way."""
    known = {record["question"]: record for record in base}
    right = [(is_right(known[record["question"]], name), is_right(record, name)) for record in records]
    fell, rose = right.count((True, False)), right.count((False, True))
    return float(stats.binomtest(fell, fell + rose, alternative="greater").pvalue) if fell + rose else 1.0


def is_right(record, name):
    """Whether a record's prediction by a definition is the right option."""
    return largest(option_scores(record)[name]) == record["answer"]
