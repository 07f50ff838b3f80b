"""Baselines of the cosine by independent computations, their controls in each partial correlation, and the comparison of predictors."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.covariance import ledoit_wolf

from persona_leakage.geometry.cosine import whitened_cosines
from persona_leakage.geometry.divergence_table import COLUMNS, mean_divergences, read_divergences
from persona_leakage.geometry.next_token_divergence import Comparison
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json, write_json
from persona_leakage.statistics.comparisons.predictors import compare_predictors
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.leakage.baseline_predictors import baseline_predictors
from persona_leakage.statistics.leakage.claims import BASELINES
from persona_leakage.statistics.leakage.summary import analyse
from persona_leakage.statistics.validation.null_worlds import NULL_WORLDS, experiment
from persona_leakage.statistics.validation.simulation import SCENARIOS, World, simulate
from persona_leakage.tables.read import read_pairs
from tests.conftest import ROOT, finished_with, run_program
from tests.support.synthetic import QUICK, SMALL, make_tables, save_tables

WORLD = {"min_category_size": 5, "permutations": 299, "bootstraps": 200}


def full_table(world=SMALL):
    """A synthetic table with all new columns, whose values are unrelated to everything."""
    table, generator = make_tables(world)["pairs"], np.random.default_rng(5)
    names = sorted({*table["persona"]})
    lengths = dict(zip(names, generator.uniform(5, 60, len(names)), strict=True))
    pairs = table.groupby(["source", "persona"], sort=False).ngroup()
    table["cosine_raw"] = generator.uniform(-1, 1, len(table))
    table["cosine_whitened"] = generator.uniform(-1, 1, len(table))
    for column in COLUMNS:
        table[column] = generator.uniform(0, 1, pairs.max() + 1)[pairs]
    table["base_reply_tokens"] = table["persona"].map(lengths)
    table["source_base_reply_tokens"] = table["source"].map(lengths)
    return table


@pytest.mark.parametrize("shape", [(40, 6), (12, 200), (30, 30)], ids=["few dimensions", "few personas", "as many"])
def test_whitening_is_the_inverse_covariance_of_ledoit_and_wolf(shape):
    """x' C^-1 y over the lengths that C^-1 gives, with scikit-learn's C; not what the centred cosine is."""
    generator = np.random.default_rng(0)
    vectors = (generator.normal(size=shape) * np.exp(generator.normal(size=shape[1])) + 10).astype(np.float32)
    centred = np.asarray(vectors, dtype=float) - vectors.mean(axis=0, dtype=float)
    covariance, weight = ledoit_wolf(centred, assume_centered=True)
    assert 0.01 < weight < 0.99
    products = centred @ np.linalg.inv(covariance) @ centred.T
    lengths = np.sqrt(np.diag(products))
    found = whitened_cosines(vectors)
    assert found == pytest.approx(products / np.outer(lengths, lengths), abs=1e-6)
    plain = centred @ centred.T / np.outer(*[np.linalg.norm(centred, axis=1)] * 2)
    assert np.abs(found - plain).max() > 0.05


def test_a_persona_at_the_mean_has_no_whitened_cosine():
    with pytest.raises(ValueError, match="zero length"):
        whitened_cosines([[1.0, 1.0], [3.0, 3.0], [2.0, 2.0]])


def test_predictors_are_those_of_the_table():
    """Every new predictor of one pair from its own row; a control that is the mean of two others is none."""
    table = full_table()
    matrices = matrices_of(table)
    sources, _, _ = matrices.usable_sources()
    found, reasons = baseline_predictors(matrices, sources)
    assert set(reasons) == {"char_similarity", "embedding_similarity"}
    for row, source in enumerate(sources):
        for column, index in enumerate(matrices.bystanders):
            pair = (table["source"] == matrices.sources[source]) & (table["persona"] == matrices.personas[index])
            for layer, known in enumerate(table[pair].sort_values("layer").itertuples()):
                expected = {
                    "base_reply_tokens": known.base_reply_tokens,
                    "length_similarity": -abs(known.base_reply_tokens - known.source_base_reply_tokens),
                    "output_similarity_source_replies": 1 - known.js_source_replies,
                    "output_similarity_bystander_replies": 1 - known.js_bystander_replies,
                    "output_similarity": 1 - (known.js_source_replies + known.js_bystander_replies) / 2,
                    "cosine_whitened": known.cosine_whitened,
                }
                assert {name: found[name][layer, row, column] for name in expected} == pytest.approx(expected)


def test_controls_of_each_partial_correlation():
    """The verdict's takes all but the same geometry; before training, leakage under other sources is unknown; none takes a mean of two."""
    baselines = analyse(full_table(), 0, QUICK)["layers"]["0"]["baseline_predictors"]
    before = {"prompt_tokens", "base_reply_tokens", "length_similarity", "word_similarity"}
    before |= {"output_similarity_source_replies", "output_similarity_bystander_replies"}
    assert {*baselines["alone"]} == {*before, "cosine", "output_similarity", "cosine_raw", "cosine_whitened", "mean_leakage_other_sources"}
    controls = {name: {*baselines[name]["controls"]} for name in baselines if name.startswith("partial")}
    assert controls == {
        "partial": {*before, "cosine_raw", "cosine_whitened", "mean_leakage_other_sources"},
        "partial_without_raw_cosine": {*before, "mean_leakage_other_sources"},
        "partial_linear": {*before, "mean_leakage_other_sources"},
        "partial_before_training": before,
    }
    assert before | {"mean_leakage_other_sources"} <= {*BASELINES}


def test_partial_before_training_against_a_regression():
    table = full_table(replace(SMALL, bystanders=40))
    block = analyse(table, 0, QUICK)["layers"]["0"]["baseline_predictors"]["partial_before_training"]
    rows = table[(table["layer"] == 0) & (table["source"] == "source1") & ~table["persona"].isin({*table["source"]})]
    gap = (rows["base_reply_tokens"] - rows["source_base_reply_tokens"]).abs()
    columns = ["prompt_tokens", "base_reply_tokens", "word_similarity", "js_source_replies", "js_bystander_replies"]
    design = np.column_stack([np.ones(len(rows)), gap, rows[columns]])
    odds = np.log((rows["found"] + 0.5) / (rows["total"] - rows["found"] + 0.5))
    left = [values - design @ np.linalg.lstsq(design, values, rcond=None)[0] for values in (rows["cosine"], odds)]
    assert block["per_source"]["source1"]["rho"] == pytest.approx(stats.pearsonr(*left).statistic, abs=1e-9)


def test_one_source_needs_its_own_reply_length():
    table = full_table().query("source == 'source0' and persona not in ('source1', 'source2')").reset_index(drop=True)
    baselines = analyse(table, 0, QUICK)["layers"]["0"]["baseline_predictors"]
    assert "length_similarity" in baselines["alone"] and baselines["left_out"]["mean_leakage_other_sources"] == "one source"
    assert baselines["partial_before_training"] == baselines["partial_linear"]
    left_out = analyse(table.drop(columns="source_base_reply_tokens"), 0, QUICK)["layers"]["0"]["baseline_predictors"]["left_out"]
    assert "source_base_reply_tokens" in left_out["length_similarity"] and "base_reply_tokens" not in left_out


def test_divergences_are_means_over_positions(tmp_path):
    """Two replies of other lengths weigh by their positions; each direction is its own; the file gives back what was measured."""
    work = [
        ("js_source_replies", "a", "b", Comparison((1,), (2,), (7, 7, 7))),
        ("js_source_replies", "a", "b", Comparison((1,), (2,), ())),
        ("js_bystander_replies", "a", "b", Comparison((2,), (1,), (8,))),
    ]
    means, positions = mean_divergences(work, [2.0, 0.5, 0.25])
    assert means == {"js_source_replies": {"a": {"b": 0.5}}, "js_bystander_replies": {"a": {"b": 0.125}}}
    assert positions == {"a": 5, "b": 2}
    write_json(tmp_path / "divergence.json", {"meta": {"program": "measure_divergence"}, "divergence": means})
    found = read_divergences(tmp_path / "divergence.json", ["b", "a"], ["a"])
    assert found["js_source_replies"][1, 0] == 0.5 and found["js_bystander_replies"][1, 0] == 0.125
    assert np.isnan(found["js_source_replies"][0]).all()
    with pytest.raises(InputError, match=r"divergence.json: has no key 'c'"):
        read_divergences(tmp_path / "divergence.json", ["a", "b", "c"], ["a"])


def judged(seed, *dropped):
    """(answer on beyond_baselines, its partial correlation, its sentence) in a world where reply length alone makes personas leak."""
    generator = np.random.default_rng(seed)
    table, counts, cosines = experiment(NULL_WORLDS["reply length"](generator), generator)
    result = analyse(table.drop(columns=[*dropped]), 0, WORLD, counts, cosines)
    entry = next(entry for entry in result["verdict"] if entry["id"] == "beyond_baselines")
    return entry["answer"], result["layers"]["0"]["baseline_predictors"]["partial_linear"]["mean_rho"], entry["sentence"]


@pytest.mark.parametrize("seed", [[1, 0], [1, 3]])
def test_reply_length_that_explains_leakage_leaves_nothing_to_closeness(seed):
    """Without the column the verdict claims that closeness adds something: what the new controls are for."""
    answer, rho, _ = judged(seed, "base_reply_tokens")
    assert answer == "supported" and rho > 0.6
    answer, rho, sentence = judged(seed)
    assert answer != "supported" and abs(rho) < 0.1
    assert "reply length" in sentence and "similar reply length" in sentence


OUTPUT = ("output_similarity_source_replies", "output_similarity_bystander_replies", "output_similarity")
PUBLISHED = ROOT / "tests/data/published_pairs.csv"


def test_what_correlation_json_has_too_is_the_same():
    """The published pairs: mean correlations and p of every predictor, one that differs by layer among them, and the order."""
    table = read_pairs(PUBLISHED)
    table["cosine_raw"] = table["cosine"] ** 3
    compared = compare_predictors(matrices_of(table), 20, QUICK)
    alone = analyse(table, 20, QUICK)["layers"]["20"]["baseline_predictors"]["alone"]
    assert set(alone) == set(compared["predictors"])
    for name, block in alone.items():
        found = compared["predictors"][name]
        assert (found["mean_rho"], found["p"]) == pytest.approx((block["mean_rho"], block["p"]))
        assert {source: each["rho"] for source, each in found["per_source"].items()} == pytest.approx(block["per_source"])
    means = [compared["predictors"][name]["mean_rho"] for name in compared["order"]]
    assert means == sorted(means, reverse=True)
    assert compared["predictors"]["mean_leakage_other_sources"]["known_before_training"] is False
    assert all("no such column" in compared["left_out"][name] for name in OUTPUT)


def with_divergence(matrices, values):
    """The matrices with js_source_replies and js_bystander_replies, both ``values`` [sources, personas]."""
    both = np.broadcast_to(values, (len(matrices.layers), *values.shape))
    return replace(matrices, cosines={**matrices.cosines, "js_source_replies": both, "js_bystander_replies": both})


def test_a_perfect_predictor_leads_and_the_paired_interval_says_so():
    """Divergence that falls as leakage rises: first, clearly above the cosine; the cosine itself has no difference."""
    matrices, counts, _ = simulate(SCENARIOS["weak pair effect"], np.random.default_rng(1))
    compared = compare_predictors(with_divergence(matrices, 1 - np.nan_to_num(matrices.rate)), 0, QUICK, counts)
    json.dumps(compared, allow_nan=False)
    assert {*compared["order"][:3]} == {*OUTPUT}
    for name in OUTPUT:
        best = compared["predictors"][name]
        assert best["mean_rho"] == pytest.approx(1) and best["known_before_training"] is True
        assert best["less_cosine_interval"][0] > 0.2
    assert compared["predictors"]["cosine"]["less_cosine"] is None


def test_the_interval_is_of_pairs():
    """A predictor that is the cosine but for a little noise: the difference is known far better than either correlation."""
    matrices, counts, _ = simulate(SCENARIOS["pair effect"], np.random.default_rng(2))
    noise = 0.001 * np.random.default_rng(3).normal(size=matrices.rate.shape)
    divergence = 0.5 - np.nan_to_num(matrices.cosines["cosine"][0]) / 4 + noise
    found = compare_predictors(with_divergence(matrices, divergence), 0, QUICK, counts)["predictors"]
    low, high = found["output_similarity"]["less_cosine_interval"]
    whole = found["cosine"]["interval"]
    assert high - low < (whole[1] - whole[0]) / 5


def test_what_cannot_be_compared_is_said():
    matrices, _, _ = simulate(World(sources=2, bystanders=3), np.random.default_rng(0))
    assert "common bystander" in compare_predictors(matrices, 0, QUICK)["undefined"]
    matrices, _, _ = simulate(SMALL, np.random.default_rng(0))
    flat = with_divergence(matrices, np.full(matrices.rate.shape, 0.5))
    assert {compare_predictors(flat, 0, QUICK)["left_out"][name] for name in OUTPUT} == {"the same for all bystanders of a source"}


def test_the_programs(tmp_path):
    tables = make_tables(SMALL)
    pairs = tables["pairs"].groupby(["source", "persona"], sort=False).ngroup()
    tables["pairs"] = tables["pairs"].assign(js_source_replies=pairs / 100, js_bystander_replies=1 - pairs / 100)
    options = save_tables({name: tables[name] for name in ("pairs", "question_counts")}, tmp_path)
    options += ["--settings", json.dumps({"permutations": 199, "bootstraps": 200}), "--headline-layer", "0", "--output", "predictors.json"]
    done = run_program("compare_predictors", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {*OUTPUT[:2]} <= {*read_json(tmp_path / "predictors.json")["predictors"]}
    assert (
        run_program("plot_figure", "predictors", "--predictors", "predictors.json", "--output", "predictors.png", cwd=tmp_path).returncode
        == 0
    )


@pytest.fixture(scope="module")
def project_with_predictors(finished_project, tmp_path_factory):
    """The finished tiny experiment with the predictor comparison and the divergence switched on, run to its end."""
    changes = {"analysis__predictors": True, "analysis__divergence": {"replies_per_question": 1, "tokens": 4}}
    return finished_with(finished_project, tmp_path_factory.mktemp("predictors") / "project", **changes)


def test_a_finished_run_has_the_divergence_of_every_pair(project_with_predictors):
    assert project_with_predictors.planned() == {}
    values = read_json(project_with_predictors.file("results/tiny/geometry/evaluation/base/divergence.json"))["divergence"]
    for column in ("js_source_replies", "js_bystander_replies"):
        assert {source: len(personas) for source, personas in values[column].items()} == {"villain": 5, "comedian": 5}
    assert values["js_source_replies"]["villain"]["comedian"] == values["js_bystander_replies"]["comedian"]["villain"]
    assert values["js_source_replies"]["villain"]["pirate"] != values["js_bystander_replies"]["villain"]["pirate"]
    home = project_with_predictors.folder / "results/tiny"
    base = read_json(home / "evaluation/evaluation/base/marker_eval.json")["personas"]
    for row in read_pairs(home / "analysis/evaluation/seed42/pairs.csv").itertuples():
        for column in ("js_source_replies", "js_bystander_replies"):
            assert getattr(row, column) == values[column][row.source][row.persona]
        assert row.base_reply_tokens == base[row.persona]["mean_tokens"]
