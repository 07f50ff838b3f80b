"""Tables of pairs as files: read back as written, bad ones refused by line; the published study's table gives its published figures."""

import csv
import json

import pandas as pd
import pytest

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.statistics.leakage.correlations import correlate_pairs
from persona_leakage.tables.read import BOTH, OPTIONAL, REQUIRED, read_pairs
from tests.conftest import ROOT, run_program
from tests.support.synthetic import make_tables

# Pairs of the published study (Qwen2.5-7B-Instruct, seed 42), cosines to 4 digits as its result files print them:
# repository superkaiba/make-evil-dumb at 0c62c85, eval_results/single_token_100_persona/cosine_leakage_correlation.json
PUBLISHED = ROOT / "tests/data/published_pairs.csv"
# Its write-up's headline table, to the printed digit: rho, p, Pearson r, mean bystander rate
HEADLINE = {
    "software_engineer": ("0.87", "3.2e-34", "0.93", "0.416"),
    "kindergarten_teacher": ("0.76", "5.7e-22", "0.76", "0.294"),
    "assistant": ("0.73", "1.5e-19", "0.81", "0.108"),
    "villain": ("0.70", "9.7e-18", "0.64", "0.072"),
    "comedian": ("0.67", "1.5e-15", "0.51", "0.026"),
}
POOLED_BY_LAYER = {"10": "0.39", "15": "0.59", "20": "0.60", "25": "0.61"}
GOOD = {
    "layer": "20",
    "source": "villain",
    "persona": "pirate",
    "category": "unrelated_baseline",
    "related": "false",
    "cosine": "0.3618",
    "rate": "0.05",
    "found": "10",
    "total": "200",
}


def write_csv(path, *rows):
    """Write rows (dicts with equal keys) as CSV and return the path."""
    with path.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_published_pairs_give_the_published_figures():
    result = correlate_pairs(read_pairs(PUBLISHED), 20, 5)["layers"]
    for source, printed in HEADLINE.items():
        found = result["20"]["per_source"][source]
        figures = (found["spearman_rho"], found["spearman_p"], found["pearson_r"])
        assert (found["n"], *(f"{value:{kind}}" for value, kind in zip(figures, (".2f", ".1e", ".2f"), strict=True))) == (110, *printed[:3])
        # rounded half up, as the write-up rounds 0.1075
        assert f"{found['mean_bystander_rate'] + 1e-9:.3f}" == printed[3]
    pooled = result["20"]["pooled"]
    assert (pooled["n"], f"{pooled['spearman_p']:.1e}", f"{pooled['pearson_r']:.2f}") == (550, "2.0e-55", "0.68")
    assert {layer: f"{block['pooled']['spearman_rho']:.2f}" for layer, block in result.items()} == POOLED_BY_LAYER


def test_programs_work_from_a_table_alone(tmp_path):
    """Anywhere, with nothing but the nine required columns; only the layer has to be chosen if there are several."""
    common = ("--pairs", PUBLISHED, "--headline-layer", "20")
    assert run_program("correlate_leakage", *common, "--output", tmp_path / "correlation.json", cwd=tmp_path).returncode == 0
    result = json.loads((tmp_path / "correlation.json").read_text())
    assert result["headline_layer"] == 20 and result["meta"]["bank"]["personas"] == 111 and result["meta"]["model"] is None
    assert run_program("plot_figure", "scatter", *common, "--output", tmp_path / "alone.pdf", cwd=tmp_path).returncode == 0
    given = ("--correlation", tmp_path / "correlation.json")
    assert run_program("plot_figure", "scatter", *common, *given, "--output", tmp_path / "given.pdf", cwd=tmp_path).returncode == 0
    sizes = {path.name: path.stat().st_size for path in tmp_path.glob("*.png")}
    assert sizes["given.png"] > sizes["alone.png"] > 10_000, "with correlation.json the titles have intervals"


def test_several_layers_need_a_choice(tmp_path):
    for chosen in ((), ("--headline-layer", "21")):
        done = run_program("correlate_leakage", "--pairs", PUBLISHED, "--output", tmp_path / "c.json", *chosen, cwd=tmp_path)
        assert done.returncode == 1 and "choose one of 10, 15, 20, 25" in done.stderr


def test_the_workflows_table_survives_the_file(tmp_path):
    """All columns of the workflow's own table; names that pandas takes for holes stay names."""
    rows = [{**GOOD, "persona": name, "category": "null"} for name in ("nan", "NA", "None")]
    more = {"negative": "True", "cosine_raw": "0.99", "base_rate": "0.0", "source_rate": "0.94", "prompt_tokens": "15"}
    more |= {"source_total": "200", "source_base_rate": "0.0", "leakage": "0.05", "leakage_se": "nan"}
    more |= {"base_reply_tokens": "28.5", "source_base_reply_tokens": "31.25", "cosine_whitened": "0.5"}
    more |= {"logprob_gain": "12.5", "logprob_replies": "7", "source_logprob_gain": "38.5"}
    more |= {"outcome": "1.05", "base_outcome": "1", "scored": "190", "questions": "10", "source_outcome": "3"}
    more |= {"source_base_outcome": "1", "source_leakage": "2", "source_leakage_se": "nan"}
    for control in ("clean", "shuffled"):
        more |= {f"{control}_rate": "0.02", f"source_{control}_rate": "0.1", f"leakage_beyond_{control}": "0.03"}
        more[f"leakage_beyond_{control}_se"] = "nan"
    more |= {f"{whose}{name}": "3" for name in BOTH for whose in ("", "source_")}
    columns = ("word_similarity", "char_similarity", "embedding_similarity", "js_source_replies", "js_bystander_replies")
    more.update(dict.fromkeys(columns, "0.25"))
    table = read_pairs(write_csv(tmp_path / "pairs.csv", *({**row, **more} for row in rows)))
    assert table["persona"].tolist() == ["nan", "NA", "None"] and table["category"].tolist() == ["null"] * 3
    assert set(table) == {*REQUIRED, *OPTIONAL} and table["negative"].dtype == table["related"].dtype == bool
    table.to_csv(tmp_path / "again.csv", index=False)
    pd.testing.assert_frame_equal(read_pairs(tmp_path / "again.csv"), table)


def test_whole_numbers_may_have_a_point(tmp_path):
    table = read_pairs(write_csv(tmp_path / "pairs.csv", {**GOOD, "layer": "20.0", "found": "10.0", "total": "200."}))
    assert table[["layer", "found", "total"]].to_numpy().tolist() == [[20, 10, 200]]


def test_a_missing_measurement_is_nan_and_drawn_without(tmp_path):
    """The only way to say that a rate or a cosine could not be measured; the figure shows the rest and says so."""
    rows = [{**GOOD, "persona": f"p{index}", "rate": "0.25", "found": "5", "total": "20"} for index in range(5)]
    path = write_csv(tmp_path / "pairs.csv", {**GOOD, "persona": "lost", "rate": "nan"}, {**GOOD, "persona": "far", "cosine": "NaN"}, *rows)
    table = read_pairs(path)
    assert table["rate"].isna().tolist() == [True, *[False] * 6] and table["cosine"].isna().tolist() == [False, True, *[False] * 5]
    done = run_program("plot_figure", "scatter", "--pairs", path, "--output", tmp_path / "scatter.svg", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    figure = (tmp_path / "scatter.svg").read_text()
    assert "<!-- lost -->" not in figure and "cosine is missing in" in figure


def test_unknown_columns_are_left_out(tmp_path):
    assert set(read_pairs(write_csv(tmp_path / "pairs.csv", {**GOOD, "note": "mine"}))) == set(REQUIRED)


@pytest.mark.parametrize("column", REQUIRED)
def test_a_table_without_a_required_column_is_refused(tmp_path, column):
    path = write_csv(tmp_path / "pairs.csv", {key: value for key, value in GOOD.items() if key != column})
    with pytest.raises(InputError, match=f"pairs.csv: missing columns {column}; it has "):
        read_pairs(path)


BAD_VALUES = [
    ("layer", ["", "-1", "2.5", "twenty"], "a whole number"),
    ("source", ["", " "], "a name"),
    ("persona", [""], "a name"),
    ("category", [""], "a name"),
    ("related", ["", "yes", "1"], "true or false"),
    ("cosine", ["inf", "1.1", "-2", "high"], "a number from -1 to 1"),
    ("rate", ["inf", "-0.1", "5", "5%"], "a number from 0 to 1"),
    ("found", ["", "-1", "9.5"], "a whole number"),
    ("total", ["", "0"], "a whole number, 1 or more"),
    ("cosine_raw", ["inf"], "a number from -1 to 1"),
    ("negative", ["maybe"], "true or false"),
    ("prompt_tokens", ["nan"], "a whole number"),
    ("source_rate", ["nan"], "a number from 0 to 1"),
    ("base_reply_tokens", ["-1", "nan"], "a number, 0 or more"),
    ("source_base_reply_tokens", ["inf"], "a number, 0 or more"),
    ("js_source_replies", ["1.5", ""], "a number from 0 to 1"),
    ("cosine_whitened", ["-2"], "a number from -1 to 1"),
]


@pytest.mark.parametrize(
    ("column", "value", "allowed"), [(column, value, allowed) for column, values, allowed in BAD_VALUES for value in values]
)
def test_the_first_bad_value_is_named_with_its_line(tmp_path, column, value, allowed):
    fill = {column: {"negative": "true", "prompt_tokens": "9"}.get(column, "0.5")} if column in OPTIONAL else {}
    good = {**GOOD, **fill}
    path = write_csv(tmp_path / "pairs.csv", {**good, "category": "two\nlines"}, {**good, "persona": "nurse", column: value})
    with pytest.raises(InputError, match=rf"pairs.csv, line 4: {column} is '{value}'; it must be {allowed}"):
        read_pairs(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"persona": "villain"}, "line 3: persona is 'villain', the source itself"),
        ({"found": "201"}, "line 3: found is 201; it must be at most total, 200"),
        ({"rate": "0.5"}, "line 3: rate is 0.5; found / total is 10 / 200"),
        ({"persona": "pirate"}, "line 3: repeats layer, source and persona of line 2"),
        (
            {"persona": "pirate", "layer": "21", "category": "original"},
            "line 3: category is 'original', but 'unrelated_baseline' for the same",
        ),
        ({"persona": "pirate", "layer": "21", "rate": "0.055"}, "line 3: rate is 0.055, but 0.05 for the same"),
        *(
            ({"persona": "pirate", "layer": "21", column: "0.7"}, f"{column} is 0.7, but ")
            for column in ("js_source_replies", "base_reply_tokens", "source_base_reply_tokens")
        ),
        ({"layer": "21"}, "persona 'pirate' with source 'villain' has no row of layer 21, but other pairs have"),
    ],
)
def test_rows_that_contradict_are_refused(tmp_path, changes, message):
    first = {**GOOD, **dict.fromkeys(changes.keys() & set(OPTIONAL), "0.5")}
    with pytest.raises(InputError, match=message):
        read_pairs(write_csv(tmp_path / "pairs.csv", first, {**first, "persona": "nurse", **changes}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "pairs.csv: no such file"),
        ("", "pairs.csv: missing columns"),
        (",".join(REQUIRED), "pairs.csv: has no rows"),
        (f"{','.join(REQUIRED)}\n{','.join(GOOD.values())},7", "line 2: the number of values differs"),
        (f"{','.join(REQUIRED)}\n20,villain", "line 2: persona is None"),
        (f"{','.join(REQUIRED)},note\n{','.join(GOOD.values())}", "line 2: the number of values differs"),
        (f'{",".join(REQUIRED)}\n20,"villain', r"pairs.csv: not a CSV file in UTF-8 \(unexpected end of data\)"),
        (b"\xff\xfe\x00", "pairs.csv: not a CSV file in UTF-8"),
    ],
)
def test_files_that_are_no_table_are_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "pairs.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        read_pairs(tmp_path / "pairs.csv")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, None),
        ({"base_rate": "0.034", "leakage": "0.02"}, None),
        ({"leakage": "0.2"}, "line 2: leakage is 0.2, but rate - base_rate is 0.05 - 0.03; give their difference"),
        ({"leakage": "nan"}, "line 2: leakage is nan, but rate - base_rate"),
        ({"rate": "nan"}, "line 2: leakage is 0.02, but rate - base_rate is nan"),
        ({"rate": "nan", "leakage": "nan"}, None),
        ({"leakage": "-2"}, "line 2: leakage is -2.0, but rate - base_rate is 0.05 - 0.03"),
        ({"leakage_se": "-0.1"}, "line 2: leakage_se is '-0.1'; it must be a number, 0 or more, or nan"),
    ],
)
def test_leakage_is_rate_less_base_rate(tmp_path, changes, message):
    """Up to the rounding of the table; the statistics compute it from the two rates."""
    path = write_csv(tmp_path / "pairs.csv", {**GOOD, "base_rate": "0.03", "leakage": "0.02", "leakage_se": "0.01", **changes})
    if message is None:
        assert read_pairs(path)["leakage_se"].tolist() == [0.01]
        return
    with pytest.raises(InputError, match=message):
        read_pairs(path)


def test_leakage_needs_the_base_rate(tmp_path):
    with pytest.raises(InputError, match=r"leakage is 0\.02, but the table has no column base_rate"):
        read_pairs(write_csv(tmp_path / "pairs.csv", {**GOOD, "leakage": "0.02"}))


def test_an_empty_cell_is_a_missing_measurement(tmp_path):
    """As pandas writes one; other columns must not be empty."""
    table = read_pairs(write_csv(tmp_path / "pairs.csv", {**GOOD, "cosine": ""}, {**GOOD, "persona": "nurse", "rate": " "}))
    assert table["cosine"].isna().tolist() == [True, False] and table["rate"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("program", "output"), [("correlate_leakage", "pairs.csv"), ("check_robustness", "pairs.csv"), ("plot_figure scatter", "pairs.pdf")]
)
def test_an_output_never_replaces_its_input(tmp_path, program, output):
    """Nor does a figure's other format: pairs.png may be somebody's table."""
    path = tmp_path / ("pairs.png" if program.startswith("plot") else "pairs.csv")
    make_tables()["pairs"].to_csv(path, index=False)
    before = path.read_bytes()
    options = ("--pairs", str(path), "--headline-layer", "0")
    done = run_program(*program.split(), *options, "--output", str(tmp_path / output), cwd=tmp_path)
    assert done.returncode == 1 and f"--output: would replace {path}, the file of --pairs; give another path" in done.stderr
    assert path.read_bytes() == before
    other = tmp_path / "tables.json"
    other.write_text('{"sha256": {}}')
    done = run_program(*program.split(), *options, "--tables", str(other), "--output", str(tmp_path / f"new{path.suffix}"), cwd=tmp_path)
    assert done.returncode == 1 and f"does not describe a file {path.name}; give the file that was written next to" in done.stderr
