"""Leakage along training: one step, a common strength, and recipes compared at it."""

import check_recipes
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json
from persona_leakage.statistics.comparisons.along_training import at_strength, compare_recipes, describe_step

SOURCES = ("villain", "comedian", "pirate")


def make_table(share, rho=(0.2, 0.4, 0.6), tops=(30.0, 36.0, 33.0)):
    """Three steps of three sources; bystanders gain ``share`` of the source, and 1 nat more in each later source."""
    rows = []
    for index, (source, top) in enumerate(zip(SOURCES, tops, strict=True)):
        for step, part in enumerate((0.25, 0.5, 1.0)):
            own = top * part
            mean = share * own + index * part
            rows.append({"source": source, "step": step + 1, "own_gain": own, "mean_gain": mean, "share": mean / own, "rho": rho[step]})
    return pd.DataFrame(rows)


def test_a_step_leaves_out_negatives_and_replies_without_an_end():
    names = ["a", "b", "c", "d", "e"]
    rows = pd.DataFrame({"persona": names, "cosine": [0.1, 0.2, 0.3, 0.4, 0.9], "negative": [False] * 4 + [True]})
    gains = dict(zip(names, [1.0, 3.0, 2.0, None, 50.0], strict=True)) | {"me": 8.0}
    found = describe_step(rows, {name: {"end_gain": gain} for name, gain in gains.items()}, "me")
    assert found == {"own_gain": 8.0, "mean_gain": 2.0, "share": 0.25, "rho": pytest.approx(0.5), "bystanders": 3}
    empty = describe_step(rows, {name: {"end_gain": None} for name in gains}, "me")
    assert empty == {"own_gain": None, "mean_gain": None, "share": None, "rho": None, "bystanders": 0}


def test_a_strength_is_interpolated_between_the_steps():
    table = make_table(0.5).query("source == 'villain'")  # own gains 7.5, 15, 30
    assert at_strength(table, 22.5) == {"mean_gain": pytest.approx(11.25), "share": pytest.approx(0.5), "rho": pytest.approx(0.5)}
    assert at_strength(table, 3.75) == {"mean_gain": pytest.approx(1.875), "share": pytest.approx(0.5), "rho": 0.2}
    assert at_strength(table, 30.0)["rho"] == pytest.approx(0.6)
    assert np.isnan(list(at_strength(table, 31.0).values())).all()


def test_recipes_are_compared_at_the_highest_own_gain_that_all_reach():
    tables = {"first": make_table(0.5), "second": make_table(0.7, tops=(24.0, 30.0, 40.0))}
    found = compare_recipes(tables)
    rows = found["table"].query("of_common_gain == 1").set_index(["source", "recipe"])
    common = np.array([24.0, 30.0, 33.0])
    assert rows["own_gain"].xs("first", level="recipe").tolist() == common.tolist()
    gains = {name: rows["mean_gain"].xs(name, level="recipe").to_numpy() for name in tables}
    # 1 nat more in each later source is reached at its own top
    assert gains["first"] == pytest.approx(0.5 * common + [0, 1 * 30 / 36, 2])
    assert gains["second"] == pytest.approx(0.7 * common + [0, 1, 2 * 33 / 40])
    block, difference = found["differences"]["second"], gains["second"] - gains["first"]
    expected = stats.ttest_1samp(difference, 0)
    assert block["mean"] == pytest.approx(difference.mean()) and block["p"] == block["p_holm"] == pytest.approx(expected.pvalue)
    assert block["interval"] == pytest.approx(expected.confidence_interval(0.95))
    assert set(found["differences"]) == {"second"} and found["last_less_first"]["first"]["mean"] == pytest.approx(0.0, abs=0.01)


def test_the_program_names_what_is_wrong(tmp_path, capsys):
    make_table(0.5).to_csv(tmp_path / "a.csv", index=False)
    make_table(0.6).to_csv(tmp_path / "b.csv", index=False)
    out = ["--output-folder", str(tmp_path / "out")]
    check_recipes.main([f"tail={tmp_path}/a.csv", f"completion={tmp_path}/b.csv", *out])
    result = read_json(tmp_path / "out/recipes.json")
    assert result["differences"]["completion"]["mean"] == pytest.approx(0.1 * 33)
    assert "completion: +3.30" in capsys.readouterr().out
    assert len(pd.read_csv(tmp_path / "out/recipes.csv")) == 12
    (tmp_path / "c.csv").write_text("source,step\n")
    with pytest.raises(InputError, match=r"c\.csv: no along_training\.csv; it lacks mean_gain, own_gain, rho, share"):
        check_recipes.main([f"x={tmp_path}/c.csv", *out])
    for words, message in ((["only.csv"], "must be NAME=PATH"), (["x=a.csv", "x=b.csv"], "two recipes have the same name")):
        with pytest.raises(SystemExit):
            check_recipes.main([*words, *out])
        assert message in capsys.readouterr().err
