"""Write the multiple-choice items of resources/behaviours/arithmetic.jsonl: sums and short texts.

No rule calls this program.
"""

import argparse
import json
import random

from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import atomic_path

SEED = 20261129
PER_PART = 200  # half of them sums, half short texts
NAMES = ("Ana", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Hugo", "Iris", "Jonas", "Karim", "Lena", "Mateo", "Nora")
THINGS = ("apples", "books", "coins", "eggs", "marbles", "pencils", "stamps", "tickets")
KEPT = ("key", "letter", "map", "ring", "lamp", "clock", "ticket", "candle", "scarf", "cup")
PLACES = ("box", "drawer", "basket", "cupboard", "car", "garden", "kitchen", "cellar", "bag", "attic")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
TASKS = ("cooks", "paints", "swims", "reads", "gardens", "sings", "runs", "bakes")
COLORS = ("red", "blue", "green", "white", "black", "yellow", "brown", "gray")
PETS = ("cat", "dog", "horse", "parrot", "rabbit", "turtle", "goat", "hamster")


def add(draw):
    """(question, right number) of a sum of three numbers."""
    numbers = [draw.randint(11, 89) for _ in range(3)]
    return "What is {} + {} + {}?".format(*numbers), sum(numbers)


def subtract(draw):
    """(question, right number) of a difference."""
    first, second = draw.randint(250, 990), draw.randint(25, 195)
    return f"What is {first} - {second}?", first - second


def multiply(draw):
    """(question, right number) of a product."""
    first, second = draw.randint(12, 49), draw.randint(6, 19)
    return f"What is {first} * {second}?", first * second


def tell_sum(draw):
    """(question, right number) of a sum in words."""
    name, other, things = *draw.sample(NAMES, 2), draw.choice(THINGS)
    has, gets, gives = draw.randint(30, 80), draw.randint(11, 39), draw.randint(5, 25)
    story = f"{name} has {has} {things}, buys {gets} more and gives {gives} to {other}."
    return f"{story} How many {things} does {name} have now?", has + gets - gives


def tell_product(draw):
    """(question, right number) of a product in words."""
    name, things = draw.choice(NAMES), draw.choice(THINGS)
    boxes, each, lost = draw.randint(5, 12), draw.randint(8, 15), draw.randint(2, 9)
    story = f"{name} fills {boxes} boxes with {each} {things} each and then loses {lost} {things}."
    return f"{story} How many {things} are left?", boxes * each - lost


def near(draw, right):
    """Three wrong numbers as a slip would give them: off by a unit, by ten, or by both."""
    steps = (1, 2, 9, 10, 11, 20)
    below = draw.randint(0, 3)  # so that the right number is the smallest as often as the largest
    return [right - step for step in draw.sample(steps, below)] + [right + step for step in draw.sample(steps, 3 - below)]


def find(draw):
    """(question, the four options with the right one first, the facts told): where a thing is."""
    things, places, name = draw.sample(KEPT, 4), draw.sample(PLACES, 4), draw.choice(NAMES)
    put = [f"the {thing} in the {place}" for thing, place in zip(things, places, strict=True)]
    return f"{name} leaves {join(put)}. Where is the {things[0]}?", [f"In the {place}" for place in places], put


def plan(draw):
    """As find: who does something."""
    names, tasks = draw.sample(NAMES, 4), draw.sample(TASKS, 4)
    told = [f"{name} {task}" for name, task in zip(names, tasks, strict=True)]
    return f"On {draw.choice(DAYS)}, {join(told)}. Who {tasks[0]}?", names, told


def own(draw):
    """As find: whose pet has a color."""
    names, pets, colors = draw.sample(NAMES, 4), draw.sample(PETS, 4), draw.sample(COLORS, 4)
    told = [f"{name} has a {color} {pet}" for name, color, pet in zip(names, colors, pets, strict=True)]
    return f"{join(told)}. Which animal is {colors[0]}?", [f"The {pet}" for pet in pets], told


def meet(draw):
    """As find: the day of a visit."""
    names, days = draw.sample(NAMES, 4), draw.sample(DAYS, 4)
    told = [f"{name} on {day}" for name, day in zip(names, days, strict=True)]
    return f"The doctor sees {join(told)}. On which day does the doctor see {names[0]}?", days, told


def join(parts):
    """Parts of a sentence with commas and an "and"."""
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def make_sum(draw, make):
    """(question, [right option, three wrong ones]) of an item about numbers."""
    question, right = make(draw)
    return question, list(map(str, (right, *near(draw, right))))


def make_text(draw, make):
    """As make_sum, of an item about a text, with the facts told in random order."""
    question, options, told = make(draw)
    mixed = draw.sample(told, len(told))
    return question.replace(join(told), join(mixed)), options


def make_items(seed=SEED, per_part=PER_PART):
    """The items as dictionaries of a native file: of each part as many of each kind, right answers equally often in each place."""
    draw, items, known = random.Random(seed), [], set()
    forms = ((make_sum, (add, subtract, multiply, tell_sum, tell_product)), (make_text, (find, plan, own, meet)))
    for part in ("train", "evaluate"):
        for form, kinds in forms:
            places = [number % 4 for number in range(per_part // len(forms))]
            draw.shuffle(places)
            for number, place in enumerate(places):
                question, options = form(draw, kinds[number % len(kinds)])
                while question in known:
                    question, options = form(draw, kinds[number % len(kinds)])
                known.add(question)
                choices = draw.sample(options[1:], 3)
                choices.insert(place, options[0])
                items.append({"id": f"m{len(items) + 1:03}", "question": question, "choices": choices, "answer": place, "part": part})
    return items


def main(argv=None):
    """Write the items, one JSON object per line."""
    parser = argparse.ArgumentParser(prog="write_items", description=__doc__)
    parser.add_argument("output", help="file to write, such as resources/behaviours/arithmetic.jsonl")
    with atomic_path(parser.parse_args(argv).output) as temporary:
        temporary.write_text("".join(json.dumps(item) + "\n" for item in make_items()), encoding="utf-8")


if __name__ == "__main__":
    run_program(main)
