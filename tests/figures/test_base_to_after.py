"""The figure from base rates to rates with adapter draws the values of its table."""

from argparse import Namespace

import matplotlib.pyplot as plt
import pytest

from persona_leakage.figures.base_to_after import draw
from persona_leakage.infrastructure.cli import InputError

HEAD = "layer,source,persona,category,related,cosine,rate,found,total,base_rate,source_rate,source_base_rate\n"
ROWS = """\
1,villain,nurse,healers,false,0.1,0.5,5,10,0.2,0.9,0.4
1,villain,joker,fantasy,true,0.8,0.1,1,10,0.3,0.9,0.4
1,villain,pirate,fantasy,false,0.2,nan,0,10,0.6,0.9,0.4
1,hero,nurse,healers,false,0.3,0.7,7,10,0.2,1.0,0.0
2,villain,nurse,healers,false,0.2,0.5,5,10,0.2,0.9,0.4
2,villain,joker,fantasy,true,0.7,0.1,1,10,0.3,0.9,0.4
2,villain,pirate,fantasy,false,0.3,nan,0,10,0.6,0.9,0.4
2,hero,nurse,healers,false,0.4,0.7,7,10,0.2,1.0,0.0
"""


def drawn(axis):
    """{line width: [(base rate, rate)]} of a panel."""
    found = {}
    for line in axis.lines:
        assert list(line.get_xdata()) == [0, 1]
        found.setdefault(line.get_linewidth(), []).append(tuple(line.get_ydata()))
    return found


def draw_table(folder, text):
    (folder / "pairs.csv").write_text(text)
    return draw(Namespace(pairs=str(folder / "pairs.csv"), tables=None, output=str(folder / "figure.png")))


def test_it_draws_the_values_of_its_table(tmp_path):
    """A line for each bystander, once for all layers and none without a rate; the source's is thicker."""
    figure = draw_table(tmp_path, HEAD + ROWS)
    villain, hero = (drawn(axis) for axis in figure.axes[:2])
    assert [axis.get_title() for axis in figure.axes[:2]] == ["villain", "hero"]
    assert villain == {0.7: [(0.2, 0.5), (0.3, 0.1)], 2.5: [(0.4, 0.9)]}
    assert hero == {0.7: [(0.2, 0.7)], 2.5: [(0.0, 1.0)]}
    colors = [line.get_color() for line in figure.axes[0].lines]
    assert len({*colors}) == 3, "a bystander, a relative and the source"
    plt.close(figure)


def test_without_the_source_own_rates_only_bystanders_are_drawn(tmp_path):
    rows = "".join(",".join(line.split(",")[:10]) + "\n" for line in (HEAD + ROWS).splitlines())
    figure = draw_table(tmp_path, rows)
    assert drawn(figure.axes[1]) == {0.7: [(0.2, 0.7)]}
    plt.close(figure)


def test_a_table_without_base_rates_is_an_error(tmp_path):
    rows = "".join(",".join(line.split(",")[:9]) + "\n" for line in (HEAD + ROWS).splitlines())
    with pytest.raises(InputError, match=r"pairs\.csv has no column base_rate; give a table"):
        draw_table(tmp_path, rows)
