"""Parts of the report by themselves: invisible characters, tables, embedded figures, the choice of replies."""

import base64
import io
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from persona_leakage.figures.style import DPI
from persona_leakage.infrastructure.visible_text import visible_text
from persona_leakage.reporting.explorer import describe_set, pack_json
from persona_leakage.reporting.html_page import embed_figure, fit_table
from persona_leakage.reporting.replies import affordable, choose_samples, draw_replies
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\ttext\r\n", "plain\n\ttext\n"),
        ("\x1b[31m", "␛[31m"),
        ("\x00\x07\x7f\x85", "␀␇␡⟦U+0085⟧"),
        ("a\u202eb\u2069", "a⟦U+202E⟧b⟦U+2069⟧"),
        ("\u200b\ufeff\u2028", "⟦U+200B⟧⟦U+FEFF⟧⟦U+2028⟧"),
        ("\ud800", "⟦U+D800⟧"),
        ("שלום é 漢 🙂", "שלום é 漢 🙂"),
    ],
)
def test_what_cannot_be_seen_is_made_visible(text, shown):
    assert visible_text(text) == shown


def test_wide_tables_are_folded():
    """The columns on view come first, the key is repeated in the folded part, and no cell is lost or doubled."""
    head = "".join(f"<th>c{number}</th>" for number in range(10))
    rows = "".join(f"<tr>{''.join(f'<td>{row}.{number}</td>' for number in range(10))}</tr>" for row in range(2))
    table = fit_table(f'<tr>{head}</tr>{rows}<tr><td>2.0</td><td colspan="9">why</td></tr>', "Title", show=(0, 8, 9))
    parts = re.findall(r"<table>.*?</table>", table)
    heads = [re.findall(r'<th scope="col">(\w+)</th>', part) for part in parts]
    assert heads == [["c0", "c8", "c9"], ["c0", "c1", "c2", "c3", "c4", "c5", "c6"], ["c0", "c7"]]
    assert table.index("</table>") < table.index("<details>") and "<caption>Title</caption>" in parts[0]
    for row in range(2):
        assert all(f'<th scope="row">{row}.0</th>' in part for part in parts)
        assert [table.count(f'<td data-label="c{number}">{row}.{number}</td>') for number in range(1, 10)] == [1] * 9
    assert 'colspan="2">why</td>' in parts[0] and table.count("why") == 1


def test_a_head_is_aligned_as_its_column_of_words():
    table = fit_table('<tr><th>a</th><th>b</th><th>c</th></tr><tr><td>1</td><td class="words">x</td><td>2</td></tr>', "Title")
    assert '<th scope="col">a</th><th scope="col" class="words">b</th><th scope="col">c</th>' in table


def test_embedded_figures_look_the_same_in_fewer_bytes():
    path = ROOT / "docs/results/smollm2/figures/evaluation/seed42/cosines.png"
    embedded = embed_figure(path)
    content = base64.b64decode(embedded["uri"].partition(",")[2])
    with Image.open(path) as image, Image.open(io.BytesIO(content)) as shown:
        assert shown.size == image.size and embedded["width"] == round(image.width * 96 / DPI)
        distance = np.abs(np.asarray(image.convert("RGB"), float) - np.asarray(shown.convert("RGB"), float))
    assert len(content) < path.stat().st_size / 2
    assert distance.mean() < 1 and np.quantile(distance, 0.99) < 16


def cells_of(**replies):
    """{persona: [(question, text, cut, shows)]} from (question, shows) pairs."""
    return {
        name: [(question, f"{name} {index}" + " [ZLT]" * shows, False, shows) for index, (question, shows) in enumerate(pairs)]
        for name, pairs in replies.items()
    }


def test_samples_follow_the_rule():
    """The source with the marker, the highest bystander with it, the lowest without, all on one question."""
    cells = cells_of(
        villain=[("a", True), ("b", True)],
        hacker=[("a", False), ("b", True)],
        nurse=[("a", False), ("b", False)],
        monk=[("a", True), ("b", True)],
    )
    question, samples = choose_samples(cells, "villain", {"hacker": 0.5, "nurse": 0.0, "monk": 0.4}, [1])
    assert question == "b"
    assert samples == [
        ("the source, with the behaviour", "villain", "villain 1 [ZLT]"),
        ("a leaking bystander", "hacker", "hacker 1 [ZLT]"),
        ("a clean bystander", "nurse", "nurse 1"),
    ]


def test_a_sample_that_does_not_exist_is_none():
    cells = cells_of(villain=[("a", False)], nurse=[("a", False)], monk=[("a", False)])
    samples = choose_samples(cells, "villain", {"nurse": 0.0, "monk": 0.0}, [1])[1]
    assert [text for _, _, text in samples] == [None, None, "nurse 0"]


def test_drawn_replies_are_seeded_and_blind():
    """The same for the same seed, another for another; all if there are few."""
    cells = cells_of(villain=[(str(index), index % 2 == 0) for index in range(50)])
    first, again, other = (draw_replies(cells, 10, [seed])["villain"] for seed in (1, 1, 2))
    assert first == again != other and len(first) == 10
    assert draw_replies(cells, 99, [1])["villain"] == cells["villain"]
    shares = [sum(shows for *_, shows in draw_replies(cells, 10, [seed])["villain"]) for seed in range(200)]
    assert 4.5 < sum(shares) / 200 < 5.5


def test_replies_are_as_many_as_fit():
    cells = {"a": [("q", "x" * 100, False, False)] * 30, "b": [("q", "x" * 100, False, False)] * 30}
    assert affordable([cells, cells], 4_000) == 10
    assert affordable([cells], 10) == 1
    assert affordable([cells], 10**9) == 30


def test_a_gain_that_was_not_measured_is_null_in_the_explorer():
    rates = {"rate": 0.0, "found": 0, "total": 4, "source_rate": 0.0, "logprob_gain": float("nan"), "source_logprob_gain": float("nan")}
    pairs = pd.DataFrame([{"layer": 1, "source": "s", "persona": "p", "related": False, "cosine": 0.5, **rates}])
    each = {"pairs": pairs, "replies": {}, "title": "", "file": "", "headline_layer": 1, "correlations": {}}
    described = describe_set(each, {"p": 0, "s": 1}, 0)
    assert described["rates"]["s"]["own_logprob_gain"] is None and described["rates"]["s"]["logprob_gain"] == [None]
    assert pack_json(described)
