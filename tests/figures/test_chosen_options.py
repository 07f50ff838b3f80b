"""The figure of chosen options draws the shares of its files."""

import json
from argparse import Namespace

import matplotlib.pyplot as plt
import pytest

from persona_leakage.figures.chosen_options import draw

TEXTS = {"base": {"nurse": [1, 3, 0, 0], "villain": [2, 1, 0, 1]}, "villain": {"nurse": [0, 2, 2, 0], "villain": [0, 0, 0, 4]}}
LETTERS = {name: {persona: counts[::-1] for persona, counts in cells.items()} for name, cells in TEXTS.items()}


def draw_cells(folder, **formats):
    """The figure of two cells.json with these places."""
    for state in ("base", "villain"):
        cells = {persona: {"places": {name: each[state][persona] for name, each in formats.items()}} for persona in ("nurse", "villain")}
        meta = {"program": "score_choices", "state": "base" if state == "base" else "villain/seed42", "behaviour": {"scoring": "text"}}
        (folder / f"{state}.json").write_text(json.dumps({"meta": meta, "personas": cells}))
    return draw(Namespace(base_eval=folder / "base.json", evals=[folder / "villain.json"]))


def stacks(axis):
    """Heights of the bars of each persona, from below."""
    columns = zip(*(bars.patches for bars in axis.containers), strict=True)
    found = [[(bar.get_y(), bar.get_height()) for bar in column] for column in columns]
    for column in found:
        assert [bottom for bottom, _ in column] == pytest.approx([sum(height for _, height in column[:place]) for place in range(4)])
    return [[height for _, height in column] for column in found]


def test_it_draws_the_shares_of_both_formats(tmp_path):
    """Personas by how often the base model chooses the first place; the source of an adapter has a mark."""
    figure = draw_cells(tmp_path, text=TEXTS, letters=LETTERS)
    base, base_letters, villain, letters = figure.axes
    assert [label.get_text() for label in villain.get_xticklabels()] == ["villain", "nurse"]
    assert stacks(base) == [[0.5, 0.25, 0, 0.25], [0.25, 0.75, 0, 0]] and stacks(villain) == [[0, 0, 0, 1], [0, 0.5, 0.5, 0]]
    assert stacks(base_letters)[1] == [0, 0, 0.75, 0.25] and stacks(letters)[0] == [1, 0, 0, 0]
    assert not base.lines and [line.get_xdata()[0] for axis in (villain, letters) for line in axis.lines] == [0, 0]
    assert "(trained)" in base.get_title() and "(trained)" not in base_letters.get_title()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*"ABCD", "the source itself"]
    plt.close(figure)


def test_a_tokenizer_without_letters_has_one_column(tmp_path):
    figure = draw_cells(tmp_path, text=TEXTS)
    assert len(figure.axes) == 2
    plt.close(figure)
