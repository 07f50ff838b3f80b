"""The robustness table: its main row is correlation.json's, and every check is what a computation of its own gives."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from persona_leakage.geometry.cosine import cosine_matrix
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json
from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.infrastructure.tensor_files import write_tensors
from persona_leakage.statistics.core.bootstrap import describe_mean, draw_bootstrap
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.leakage.robustness import describe_robustness
from persona_leakage.statistics.leakage.robustness_checks import KEYS, weighted_area
from persona_leakage.statistics.leakage.summary import analyse
from persona_leakage.tables.question_counts import read_question_counts
from tests.conftest import run_program
from tests.support.synthetic import QUICK, make_tables, save_tables

SAMPLES = QUICK["bootstraps"]
PANEL = 30


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A synthetic experiment with negatives, uncentred cosines and many pairs without leakage: (DataFrame, counts on its axes)."""
    made = make_tables()
    table = made["pairs"]
    generator = np.random.default_rng(0)
    quiet = sorted({*table["persona"]} - {*table["source"]})[:9]
    none = table["persona"].isin(quiet)
    table.loc[none, ["rate", "found"]] = [0.0, 0]
    made["question_counts"].loc[made["question_counts"]["persona"].isin(quiet), "found"] = 0
    sources = list(dict.fromkeys(table["source"]))
    pair = table["source"].map(sources.index) + table["persona"].map(sorted({*table["persona"]}).index)
    table["negative"] = pair % 11 == 0
    table["cosine_raw"] = np.tanh(table["cosine"] + generator.normal(size=len(table)) / 2)
    table["cosine"] = np.tanh(table["cosine"])
    folder = tmp_path_factory.mktemp("tables")
    save_tables({"question_counts": made["question_counts"]}, folder)
    return table, read_question_counts(folder / "question_counts.csv", matrices_of(table))


@pytest.fixture(scope="module")
def result(tables):
    return describe_robustness(tables[0], 0, SAMPLES, tables[1])


def check_of(result, name):
    (found,) = [check for check in result["checks"] if check["name"] == name]
    return found


def mean_rho(rows, cosine="cosine"):
    return np.mean([stats.spearmanr(each[cosine], each["rate"]).statistic for _, each in rows.groupby("source")])


def test_the_main_row_is_that_of_correlation_json(tables, result):
    table, counts = tables
    analysis = analyse(table, 0, QUICK, counts)
    main = result["checks"][0]
    assert main["name"] == "main" and main["difference"] is None
    for layer, block in analysis["layers"].items():
        row = main if layer == "0" else check_of(result, f"layer/{layer}")
        assert row["estimate"] == block["within_source"]["mean_rho"]
        for key in ("interval", "interval_covers", "n_sources"):
            assert row[key] == block["within_source"][key]
        if layer != "0":
            assert row["difference"] == block["difference_from_headline"]["difference"]
            assert row["difference_interval"] == block["difference_from_headline"]["interval"]
    assert check_of(result, "gain_adjusted")["estimate"] == analysis["layers"]["0"]["double_centred"]["clear_of_floor"]["gain_adjusted_r"]


def kept_rows(table):
    """{name of a check: the rows of the headline layer that it keeps}, by pandas."""
    rows = table[table["layer"] == 0]
    sources = set(rows["source"])
    akin = set(rows.loc[rows["related"], "persona"])
    kept = {
        "without_negatives": rows[~rows["negative"]],
        "without_relatives": rows[~rows["related"]],
        "without_any_relatives": rows[~rows["persona"].isin(akin)],
        "without_sources": rows[~rows["persona"].isin(sources)],
        "non_zero": rows[rows["rate"] > 0],
    }
    kept |= {f"without_source/{name}": rows[rows["source"] != name] for name in sources}
    return kept | {f"without_category/{name}": rows[rows["category"] != name] for name in set(rows["category"])}


def test_a_check_leaves_out_what_it_says(tables, result):
    """Estimate and counts by pandas and scipy alone; the difference is what is left of the main estimate."""
    main = result["checks"][0]["estimate"]
    kept = kept_rows(tables[0])
    assert len(kept) > 12
    for name, rows in kept.items():
        row = check_of(result, name)
        assert row["undefined"] is None and row["interval"][0] < row["estimate"] < row["interval"][1], name
        assert row["estimate"] == pytest.approx(mean_rho(rows), abs=1e-12), name
        counted = rows["source"].nunique(), rows["persona"].nunique(), len(rows)
        assert (row["n_sources"], row["n_bystanders"], row["n_pairs"]) == counted, name
        assert row["difference"] == pytest.approx(mean_rho(rows) - main, abs=1e-12), name
        assert row["difference_interval"][0] < row["difference"] < row["difference_interval"][1], name
    assert {check["name"] for check in result["checks"] if check["group"] in ("bystanders", "sources", "categories")} == set(kept)
    lowest = min((check for check in result["checks"][1:] if check["scale"] == "rho"), key=lambda check: check["estimate"] or 1)
    assert result["summary"]["lowest"]["name"] == lowest["name"]


def test_other_statistics_by_hand(tables, result):
    rows = tables[0][tables[0]["layer"] == 0]
    assert check_of(result, "raw_cosine")["estimate"] == pytest.approx(mean_rho(rows, "cosine_raw"), abs=1e-12)
    odds = np.log((rows["found"] + 0.5) / (rows["total"] - rows["found"] + 0.5))
    by_source = rows.assign(odds=odds).groupby("source")
    assert check_of(result, "log_odds")["estimate"] == pytest.approx(np.mean([each["cosine"].corr(each["odds"]) for _, each in by_source]))
    areas = []
    for _, each in by_source:
        fires = each["rate"] > 0
        areas.append(stats.mannwhitneyu(each["cosine"][fires], each["cosine"][~fires]).statistic / (fires.sum() * (~fires).sum()))
    fire = check_of(result, "fire")
    assert fire["estimate"] == pytest.approx(np.mean(areas)) and fire["scale"] == "AUC" and fire["no_effect"] == 0.5
    assert fire["difference"] is None and fire["interval"][0] < fire["estimate"] < fire["interval"][1]


def test_a_weighted_area_is_that_of_the_sample_it_stands_for():
    generator = np.random.default_rng(3)
    scores, positive = generator.integers(6, size=20).astype(float), generator.random(20) < 0.4
    weights = generator.multinomial(20, np.full(20, 1 / 20), size=5).astype(float)
    for found, counts in zip(weighted_area(scores, positive, weights), weights.astype(int), strict=True):
        drawn, fires = np.repeat(scores, counts), np.repeat(positive, counts)
        expected = stats.mannwhitneyu(drawn[fires], drawn[~fires]).statistic / (fires.sum() * (~fires).sum())
        assert found == pytest.approx(expected)
    assert np.isnan(weighted_area(scores, np.zeros(20, dtype=bool), weights)).all()


def test_the_interval_of_a_difference_is_of_pairs(result):
    """Leaving out a few negatives changes little, and that is known far better than the correlation itself."""
    row = check_of(result, "without_negatives")
    width = {key: row[key][1] - row[key][0] for key in ("interval", "difference_interval")}
    assert width["difference_interval"] < width["interval"] / 2


@pytest.mark.parametrize("name", ["without_any_relatives", "non_zero", "without_source"])
def test_intervals_of_fewer_pairs_are_those_of_their_own_table(tables, name):
    """Without counts per question: the bootstrap of a table that never had these pairs, on the same personas."""
    table, sources = tables[0], list(dict.fromkeys(tables[0]["source"]))
    fewer = sorted({*table["persona"]} - {*sources})[-12:]
    table = table[(table["source"] != sources[-1]) | ~table["persona"].isin(fewer)]  # sources of different sizes
    name = f"{name}/{sources[0]}" if name == "without_source" else name
    rows = kept_rows(table)[name]
    found = check_of(describe_robustness(table, 0, SAMPLES), name)
    whole = matrices_of(table[table["layer"] == 0])
    kept = np.zeros(whole.rate.shape, dtype=bool)
    for source, persona in zip(rows["source"], rows["persona"], strict=True):
        kept[whole.sources.index(source), whole.personas.index(persona)] = True
    thinner = replace(whole, rate=np.where(kept, whole.rate, np.nan))
    bootstrap = draw_bootstrap(thinner, np.flatnonzero(kept.any(axis=1)).tolist(), SAMPLES, derive_seed("statistics", "bootstrap"))
    rhos = [stats.spearmanr(each["cosine"], each["rate"]).statistic for _, each in rows.groupby("source", sort=False)]
    assert found["interval"] == pytest.approx(describe_mean(bootstrap, 0, rhos)["interval"], abs=1e-9)


def made_up_table(rates, seed=0, **columns):
    """Pairs of one layer whose cosines are those of random centroids: (DataFrame, {"personas", "centroids"}). rates(cosines) [S, P]."""
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(PANEL, 6)) + 3
    names = [f"p{index:02}" for index in range(PANEL)]
    cosines = cosine_matrix(vectors, centred=True)
    found = np.round(200 * np.clip(rates(cosines[:3], generator), 0, 1)).astype(int)
    records = [
        {
            **{"layer": 7, "source": names[row], "persona": name, "category": f"c{index % 3}", "related": index % 10 == row},
            **{"cosine": cosines[row, index], "rate": found[row, index] / 200, "found": found[row, index], "total": 200, **columns},
        }
        for row in range(3)
        for index, name in enumerate(names)
        if index != row
    ]
    return pd.DataFrame(records), {"personas": names, "centroids": vectors}


def noisy(cosines, generator):
    return 0.5 + 0.3 * cosines + 0.1 * generator.normal(size=cosines.shape)


def test_centred_on_half_of_the_panel():
    """The median over halves, each computed here; without centroids, or with those of another table, it is said."""
    table, centroids = made_up_table(noisy)
    vectors, found = centroids["centroids"], []
    generator = np.random.default_rng(derive_seed("statistics", "half panels"))
    for _ in range(20):
        half = generator.permutation(np.arange(PANEL))[: PANEL // 2]
        moved = cosine_matrix(vectors - vectors[half].mean(axis=0), centred=False)
        cosines = {(f"p{i:02}", f"p{j:02}"): moved[i, j] for i in range(3) for j in range(PANEL)}
        found.append(mean_rho(table.assign(cosine=[cosines[pair] for pair in zip(table["source"], table["persona"], strict=True)])))
    result = describe_robustness(table, 7, SAMPLES, None, centroids)
    row, whole = check_of(result, "half_panel"), check_of(result, "main")["estimate"]
    assert row["estimate"] == pytest.approx(np.median(found)) and row["range"] == pytest.approx([min(found), max(found)])
    assert row["interval"] is None and row["n_pairs"] == 3 * (PANEL - 1) and row["difference"] == row["estimate"] - whole
    # The order of the panel in the file does not matter.
    turned = {"personas": centroids["personas"][::-1], "centroids": centroids["centroids"][::-1]}
    assert check_of(describe_robustness(table, 7, SAMPLES, None, turned), "half_panel")["estimate"] == pytest.approx(
        row["estimate"], abs=1e-9
    )
    assert "--centroids" in check_of(describe_robustness(table, 7, SAMPLES), "half_panel")["undefined"]
    with pytest.raises(InputError, match=r"--centroids: cosine of 'p00' and 'p01' at layer 7 is"):
        describe_robustness(table, 7, SAMPLES, None, {**centroids, "centroids": centroids["centroids"] ** 3})
    with pytest.raises(InputError, match="has no centroid of 'p29'"):
        describe_robustness(table, 7, SAMPLES, None, {"personas": centroids["personas"][:-1], "centroids": centroids["centroids"][:-1]})


def test_centroids_of_other_questions():
    """Other vectors give the correlation with their own centred cosines, and a paired difference."""
    table, centroids = made_up_table(noisy)
    other = {**centroids, "centroids": centroids["centroids"] + np.random.default_rng(9).normal(size=(PANEL, 6))}
    cosines = cosine_matrix(other["centroids"], centred=True)
    indices = {name: index for index, name in enumerate(centroids["personas"])}
    moved = table.assign(cosine=[cosines[indices[a], indices[b]] for a, b in zip(table["source"], table["persona"], strict=True)])
    row = check_of(describe_robustness(table, 7, SAMPLES, None, centroids, other), "held_out_questions")
    assert row["estimate"] == pytest.approx(mean_rho(moved)) and row["difference"] < 0
    assert row["interval"] == describe_robustness(moved, 7, SAMPLES)["checks"][0]["interval"]


DEGENERATE = {
    "one source": lambda table: table[table["source"] == "p00"],
    "no leakage": lambda table: table.assign(rate=0.0, found=0),
    "all leak alike": lambda table: table.assign(rate=1.0, found=200),
    "one cosine": lambda table: table.assign(cosine=0.5),
    "six bystanders": lambda table: table[table["persona"].isin([f"p{index:02}" for index in range(3, 9)])],
    "four bystanders": lambda table: table[table["persona"].isin([f"p{index:02}" for index in range(3, 7)])],
    "one category": lambda table: table.assign(category="all"),
    "missing values": lambda table: table.assign(rate=table["rate"].where(table["persona"] != "p09", float("nan"))),
    "missing uncentred cosines": lambda table: table.assign(cosine_raw=table["cosine"].where(table["persona"] != "p09", float("nan"))),
    "no adapter learned": lambda table: table.assign(source_rate=0.0),
    "a perfect relation": lambda table: table.assign(
        rate=table["cosine"].rank(method="dense") / 200, found=table["cosine"].rank(method="dense").astype(int)
    ),
    "all are relatives": lambda table: table.assign(related=True),
    "all are negatives": lambda table: table.assign(negative=True),
    "five leak": lambda table: table.assign(
        found=table["found"].where(table["persona"].isin([f"p{index:02}" for index in range(3, 8)]), 0)
    ).eval("rate = found / 200"),
    "a rate without adapter": lambda table: table.assign(base_rate=0.2),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_tables_say_why(name, recwarn):
    table, centroids = made_up_table(noisy)
    table = DEGENERATE[name](table)
    given = None if name == "one cosine" else centroids
    result = describe_robustness(table, 7, SAMPLES, None, given, centroids)
    json.dumps(result, allow_nan=False)
    assert [str(warning.message) for warning in recwarn] == []
    for check in result["checks"]:
        assert set(KEYS) < set(check)
        assert (check["estimate"] is None) == (check["undefined"] is not None), check
        assert check["undefined"] is None or len(check["undefined"]) > 10
    if name in ("no leakage", "all leak alike", "one cosine", "four bystanders", "missing values", "no adapter learned"):
        assert result["undefined"] and {check["estimate"] for check in result["checks"]} == {None}
        assert result["summary"] == {"checks": 0, "lowest": None, "highest": None, "intervals": 0, "intervals_above_zero": 0}


def test_what_is_left_out_is_said():
    table, _ = made_up_table(noisy)
    result = describe_robustness(table[table["source"] == "p00"], 7, SAMPLES)
    assert check_of(result, "without_source/p00")["undefined"] == "the only source"
    assert "no column negative" in check_of(result, "without_negatives")["undefined"]
    assert "cosine_raw" in check_of(result, "raw_cosine")["undefined"]
    alone = describe_robustness(table.assign(category="all"), 7, SAMPLES)
    assert "0 bystander(s) left; at least 5 needed" in check_of(alone, "without_category/all")["undefined"]
    akin = table.assign(related=(table["source"] == "p01") | table["related"])
    row = check_of(describe_robustness(akin, 7, SAMPLES), "without_relatives")
    assert row["n_sources"] == 2 and row["sources_left_out"] == {"p01": "0 bystander(s) left; at least 5 needed"}
    assert row["estimate"] == pytest.approx(mean_rho(akin[~akin["related"]]))


def test_the_program(tables, tmp_path):
    """The same bytes twice, the table in the terminal, the figure; centroids of another layer or with other bytes are refused."""
    table, centroids = made_up_table(noisy, negative=False)
    options = [*save_tables({"pairs": table}, tmp_path), "--settings", json.dumps({"bootstraps": 200})]
    content = {**centroids, "centroids": torch.tensor(centroids["centroids"]), "layer": 7}
    write_tensors(tmp_path / "centroids_layer7.pt", content)
    write_tensors(tmp_path / "other.pt", {**content, "layer": 3})
    given = ["--centroids", str(tmp_path / "centroids_layer7.pt")]
    for name in ("first.json", "second.json"):
        done = run_program("check_robustness", *options, *given, "--held-out-centroids", given[1], "--output", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "first.json").read_bytes() == (tmp_path / "second.json").read_bytes()
    assert (
        "without source p00" in done.stdout
        and "(range)" in done.stdout
        and "not computed: no bystander served as a negative" in done.stdout
    )
    result = read_json(tmp_path / "first.json")
    assert check_of(result, "held_out_questions")["difference"] == pytest.approx(0)
    done = run_program("plot_figure", "robustness", "--robustness", "first.json", "--output", "robustness.svg", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all((tmp_path / f"robustness.{kind}").stat().st_size > 10_000 for kind in ("pdf", "png", "svg"))
    done = run_program("check_robustness", *options, "--centroids", "other.pt", "--output", "x.json", cwd=tmp_path)
    assert done.returncode == 1 and "other.pt is of layer 3; the headline layer is 7" in done.stderr
    done = run_program("check_robustness", *options[:2], "--settings", '{"bootstraps": 3}', "--output", "x.json", cwd=tmp_path)
    assert done.returncode == 2 and "bootstraps: 3 must be >= 200" in done.stderr


def test_a_source_at_the_floor_counts_for_the_ranks_alone():
    """As in the verdict: the gain-adjusted correlation takes the sources clear of the floor."""
    table, _ = made_up_table(noisy)
    quiet = (table["source"] == "p02") & (table["persona"] > "p09")
    result = describe_robustness(table.assign(found=table["found"].where(~quiet, 0)).eval("rate = found / 200"), 7, SAMPLES)
    row = check_of(result, "gain_adjusted")
    assert row["n_sources"] == 2 and row["sources_left_out"] == {"p02": "not clear of the floor"}
    assert result["checks"][0]["n_sources"] == 3 and row["n_pairs"] == 2 * (PANEL - 3)
