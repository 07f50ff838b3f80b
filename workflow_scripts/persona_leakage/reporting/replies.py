"""Replies for the report: a seeded sample of every cell for the explorer, and three of each source by rule."""

import random
import re
from collections import defaultdict
from pathlib import Path

from persona_leakage.behaviours.base import behaviour_of_result
from persona_leakage.behaviours.scoring import read_completions
from persona_leakage.infrastructure.files import check_digest, read_json
from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.infrastructure.visible_text import visible_text

MAX_TEXT = 12_000  # characters of one reply in the page


def read_replies(path):
    """{persona: [(question, text, cut, shows the behaviour)]} of a completions file, scored as the summary.json next to it says.

    InputError if the file is not the one that its completions.json describes.
    """
    meta = read_json(Path(path).with_name("summary.json"))["meta"]
    behaviour = behaviour_of_result(meta)
    sidecar = Path(path).with_name("completions.json")
    check_digest(path, read_json(sidecar)["sha256"], sidecar)
    cells = defaultdict(list)
    for record in read_completions(path, meta["behaviour"]):
        cells[record["persona"]].append((record["question"], record["text"], record["finish_reason"] == "length", behaviour.shows(record)))
    return cells


def draw_replies(cells, per_cell, seed_parts):
    """{persona: [up to ``per_cell`` replies]}, drawn without regard to their content, in the order of the file."""
    drawn = {}
    for persona, replies in cells.items():
        generator = random.Random(derive_seed("report", *seed_parts, persona))
        indices = sorted(generator.sample(range(len(replies)), min(per_cell, len(replies))))
        drawn[persona] = [replies[index] for index in indices]
    return drawn


def affordable(all_cells, budget):
    """Replies per cell so that all texts together stay within ``budget`` characters; at least 1, even if there are no replies."""
    texts = [len(text) for cells in all_cells for replies in cells.values() for _, text, _, _ in replies]
    cells = sum(len(cells) for cells in all_cells)
    mean = min(MAX_TEXT, sum(texts) / max(1, len(texts)))
    largest = max((len(replies) for cells in all_cells for replies in cells.values()), default=1)
    return max(1, min(largest, int(budget / max(1, mean * cells))))


def marked_pieces(text, shows, highlight):
    """[(piece of a reply, whether it is highlighted)]; no piece is where the reply does not show the behaviour (``shows``).

    highlight: of the Behaviour; explorer.js does the same.
    """
    if not (shows and highlight):
        return [(text, False)]
    wanted, with_case = highlight
    parts = re.split(f"({re.escape(wanted)})", text, flags=0 if with_case else re.IGNORECASE)
    return [(part, index % 2 == 1) for index, part in enumerate(parts)]


def choose_samples(cells, source, rates, seed_parts):
    """Three replies to one question: the source's with the behaviour, the highest bystander's with it, the lowest's without.

    The question is drawn with a seed among those that have the most of the three; a missing one is None. rates:
    {persona: leakage}. Returns (question, [(title, persona, text or None)]).
    """
    ranked = sorted((name for name in rates if name != source), key=lambda name: (-rates[name], name))
    wanted = (
        ("the source, with the behaviour", source, True),
        ("a leaking bystander", ranked[0], True),
        ("a clean bystander", ranked[-1], False),
    )
    generator = random.Random(derive_seed("report samples", *seed_parts, source))

    def fitting(persona, question, shown):
        """The persona's replies to a question that show the behaviour, or do not."""
        return [text for asked, text, _, shows in cells[persona] if asked == question and shows == shown]

    questions = sorted({question for question, *_ in cells[source]})
    generator.shuffle(questions)
    question = max(questions, key=lambda question: sum(bool(fitting(persona, question, shown)) for _, persona, shown in wanted))
    samples = []
    for title, persona, shown in wanted:
        texts = fitting(persona, question, shown)
        samples.append((title, persona, visible_text(generator.choice(texts)[:MAX_TEXT]) if texts else None))
    return question, samples
