"""Baselines of the cosine: by independent computations, the controls of each partial correlation, a world that reply length explains."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.covariance import ledoit_wolf

from persona_leakage.geometry.cosine import whitened_cosines
from persona_leakage.geometry.divergence_table import COLUMNS, mean_divergences, read_divergences
from persona_leakage.geometry.next_token_divergence import Comparison
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import write_json
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.leakage.claims import BASELINES
from persona_leakage.statistics.leakage.known_predictors import baseline_predictors
from persona_leakage.statistics.leakage.permuted_sources import draw_permuted_sources, partial_correlations
from persona_leakage.statistics.leakage.summary import analyse
from persona_leakage.statistics.validation.null_worlds import NULL_WORLDS, experiment
from persona_leakage.tables.read import read_pairs
from tests.conftest import ROOT
from tests.support.synthetic import QUICK, SMALL, make_tables

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


def test_an_old_table_is_read_as_before():
    table = read_pairs(ROOT / "docs/results/smollm2_epyc/analysis/evaluation/seed42/pairs.csv")
    baselines = analyse(table, 21, QUICK)["layers"]["21"]["baseline_predictors"]
    assert baselines["partial_before_training"]["controls"] == ["prompt_tokens", "word_similarity", "char_similarity"]
    assert baselines["partial_linear"]["controls"] == ["prompt_tokens", "word_similarity", "char_similarity", "mean_leakage_other_sources"]
    missing = ("base_reply_tokens", "length_similarity", "output_similarity_source_replies", "output_similarity", "cosine_whitened")
    assert all("no such column" in baselines["left_out"][name] for name in missing)


def test_one_source_needs_its_own_reply_length():
    table = full_table().query("source == 'source0' and persona not in ('source1', 'source2')").reset_index(drop=True)
    baselines = analyse(table, 0, QUICK)["layers"]["0"]["baseline_predictors"]
    assert "length_similarity" in baselines["alone"] and baselines["left_out"]["mean_leakage_other_sources"] == "one source"
    assert baselines["partial_before_training"] == baselines["partial_linear"]
    left_out = analyse(table.drop(columns="source_base_reply_tokens"), 0, QUICK)["layers"]["0"]["baseline_predictors"]["left_out"]
    assert "source_base_reply_tokens" in left_out["length_similarity"] and "base_reply_tokens" not in left_out


def test_a_sources_reply_length_is_the_same_in_both_columns(tmp_path):
    table = full_table()
    table.loc[table["source"] == "source1", "source_base_reply_tokens"] = 7.5
    table.to_csv(tmp_path / "pairs.csv", index=False)
    with pytest.raises(InputError, match=r"line \d+: source_base_reply_tokens of 'source1' is 7.5, but base_reply_tokens is .* in line"):
        read_pairs(tmp_path / "pairs.csv")


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


def test_permuted_sources_are_judged_with_the_same_controls():
    """The true sources' partial correlations among those of permuted sources are those of partial_linear."""
    table = full_table(replace(SMALL, bystanders=40))
    matrices = matrices_of(table)
    sources, _, _ = matrices.usable_sources()
    permuted_sources, _ = draw_permuted_sources(matrices, sources, None, 5, np.random.default_rng(0))
    found = partial_correlations(matrices, sources, permuted_sources)
    expected = analyse(table, 0, QUICK)["layers"]["0"]["baseline_predictors"]["partial_linear"]["per_source"]
    for column, source in enumerate(sources):
        assert found[0, permuted_sources.actual[column], column] == pytest.approx(expected[matrices.sources[source]]["rho"], abs=1e-9)
