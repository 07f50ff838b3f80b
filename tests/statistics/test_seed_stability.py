"""Trainings compared: what sampling alone does to a correlation and to leakage, and what training again adds."""

import json
from dataclasses import replace

import numpy as np
import pytest

from persona_leakage.infrastructure.files import read_json, write_json
from persona_leakage.statistics.comparisons.training_seeds import (
    MEAN,
    compare_profiles,
    compare_seeds,
    describe_spread,
    describe_values,
    sampling_errors,
    sampling_variance,
)
from persona_leakage.statistics.core.ranks import standard_ranks
from persona_leakage.statistics.leakage.summary import analyse
from persona_leakage.statistics.validation.simulation import World, simulate
from tests.conftest import run_program
from tests.support.synthetic import QUICK, make_tables, read_back

WORLD = World(hub_sd=0.5, proneness_sd=0.5, slope=0.8, source_sd=0.0, bystanders=30, sources=3, replies=6)


def resample(counts, generator):
    """Counts of other replies by the same adapters: each cell drawn anew with its measured rate."""
    chances = (counts["found"] + 0.5) / (counts["total"] + 1)
    found = np.where(np.isnan(chances), np.nan, generator.binomial(6, np.nan_to_num(chances)))
    return {"found": found, "total": counts["total"]}


def with_counts(matrices, counts):
    return replace(matrices, **{key: counts[key].sum(axis=-1) for key in counts}, rate=counts["found"].sum(-1) / counts["total"].sum(-1))


def test_halves_tell_what_sampling_again_does_to_a_correlation():
    """Against 300 experiments with the same adapters: within a quarter for each source and for the mean, and not for nothing."""
    generator = np.random.default_rng(5)
    matrices, counts, _ = simulate(WORLD, generator)
    cosines, rhos, found = matrices.cosines["cosine"][0], [], []
    for number in range(300):
        again = with_counts(matrices, drawn := resample(counts, generator))
        members = [np.flatnonzero(~np.isnan(row)) for row in again.rate]
        rhos.append([standard_ranks(again.rate[row, own]) @ standard_ranks(cosines[row, own]) for row, own in enumerate(members)])
        if number < 20:
            errors = sampling_errors(again, drawn, 0, matrices.sources)
            found.append([errors[name] for name in (*matrices.sources, MEAN)])
    rhos = np.array(rhos)
    truth = [*rhos.std(axis=0, ddof=1), rhos.mean(axis=1).std(ddof=1)]
    assert np.sqrt(np.square(found).mean(axis=0)) == pytest.approx(truth, rel=0.25)


def test_one_reply_per_question_tells_nothing_of_sampling():
    matrices, counts, _ = simulate(replace(WORLD, replies=1), np.random.default_rng(0))
    assert set(sampling_errors(matrices, counts, 0, matrices.sources).values()) == {None}
    assert np.isnan(sampling_variance(counts["found"], counts["total"])[~np.isnan(matrices.rate)]).all()


def test_the_sampling_variance_of_a_rate_has_no_bias():
    """Two questions with rates 0.2 and 0.9: only the spread within a question counts."""
    generator = np.random.default_rng(2)
    found = generator.binomial([4, 8], [0.2, 0.9], size=(200_000, 2)).astype(float)
    total = np.broadcast_to([4.0, 8.0], found.shape)
    rates = found.sum(axis=1) / 12
    assert sampling_variance(found, total).mean() == pytest.approx(rates.var(), rel=0.02)


@pytest.mark.parametrize(("training", "profile"), [(0.0, 0.0), (0.1, 0.1)])
def test_the_spread_comes_back_from_known_parts(training, profile):
    """Rates that shift with the training by a known standard deviation, measured with 60 replies; averaged over 60 experiments."""
    generator, found = np.random.default_rng(8), []
    names = [f"p{index}" for index in range(40)]
    for _ in range(60):
        true = generator.uniform(0.35, 0.65, size=(40, 1)) + training * generator.normal(size=(40, 4))
        counts = [generator.binomial(6, np.clip(true[:, [run]], 0, 1), size=(40, 10)).astype(float) for run in range(4)]
        rates = np.stack([each.sum(axis=1) / 60 for each in counts], axis=1)
        matrices, _, _ = simulate(replace(WORLD, sources=1, bystanders=1), generator)
        tables = [
            (replace(matrices, sources=["s"], personas=names), {"found": each[None], "total": np.full((1, 40, 10), 6.0)}) for each in counts
        ]
        found.append(describe_spread(rates, "s", names, tables))
    assert np.mean([block["profile"] ** 2 for block in found]) ** 0.5 == pytest.approx(profile, abs=0.02)
    assert np.mean([block["level"] for block in found]) < 0.03
    assert np.mean([block["sampling"] for block in found]) == pytest.approx((0.24 / 60) ** 0.5, abs=0.005)
    only = np.mean([block["agreement_if_only_sampling"] for block in found])
    assert only == pytest.approx(0.0075 / (0.0075 + 0.24 / 60), abs=0.08) if not training else only > 0.5


def test_profiles_by_hand():
    """Ranks 1 2 3 4 against 2 1 3 4: 0.8. Ceilings 0.9 and 0.8 allow 0.72."""
    rates = np.array([[0.1, 0.2], [0.2, 0.1], [0.3, 0.3], [0.4, 0.4]])
    found = compare_profiles(rates, [0.9, 0.8])
    assert found["pairs"] == [{"runs": [0, 1], "rho": pytest.approx(0.8), "ceiling": pytest.approx(0.72)}]
    assert found["ratio"] == pytest.approx(0.8 / 0.72)
    assert compare_profiles(rates, [0.9, None])["mean_ceiling"] is None


def test_the_replies_tell_what_is_sampling():
    known = describe_values([0.5, 0.7], [0.1, 0.1])
    assert known["sampling_from"] == "replies" and known["undefined"] is None
    assert (known["sampling"], known["training"]) == pytest.approx((0.1, 0.1))
    assert describe_values([0.5, 0.7], [0.2, 0.2])["training"] == 0
    unknown = describe_values([0.5, 0.7], [0.1, None])
    assert unknown["sampling"] is unknown["training"] is None and "not separable" in unknown["undefined"]
    assert describe_values([0.5], [0.1])["undefined"].startswith("one run")


@pytest.fixture(scope="module")
def three_trainings(tmp_path_factory):
    """Folders of the tables and correlation.json of three experiments with the same cosines, as three training seeds leave them."""
    folder = tmp_path_factory.mktemp("trainings")
    for seed in (1, 2, 3):
        home = folder / str(seed)
        home.mkdir()
        tables = make_tables(replace(WORLD, noise_sd=0.3), seed=4)
        if seed > 1:  # the same pairs with other replies
            tables = sampled_again(tables, np.random.default_rng(seed))
        pairs, counts, _ = read_back(tables, home)
        meta = {"program": "correlate_leakage", "training_seed": seed, "sampling_seed": 0}
        write_json(home / "correlation.json", {"meta": meta, **analyse(pairs, 0, QUICK, counts)})
    return folder


def sampled_again(tables, generator):
    """The tables with replies drawn anew from the measured rate of each cell."""
    counts = tables["question_counts"].copy()
    counts["found"] = generator.binomial(counts["total"], ((counts["found"] + 0.5) / (counts["total"] + 1)))
    sums = counts.groupby(["source", "persona"])["found"].sum()
    pairs = tables["pairs"].copy()
    pairs["found"] = [int(sums[row.source, row.persona]) for row in pairs.itertuples()]
    pairs["rate"] = pairs["found"] / pairs["total"]
    return {**tables, "pairs": pairs, "question_counts": counts}


def options_of(folder, *seeds):
    options = []
    for name, ending in (("correlations", "correlation.json"), ("pairs", "pairs.csv"), ("question-counts", "question_counts.csv")):
        options += [f"--{name}", *(str(folder / f"{seed}/{ending}") for seed in seeds)]
    return options


def test_trainings_that_only_sampled_again_reach_their_ceiling(three_trainings, tmp_path):
    """The program on runs that differ in their replies alone: little is left for training, profiles agree as far as noise lets."""
    done = run_program("compare_seeds", *options_of(three_trainings, 1, 2, 3), "--output", "seeds.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = read_json(tmp_path / "seeds.json")
    json.dumps(result, allow_nan=False)
    assert result["leakage"]["training_seeds"] == [1, 2, 3]
    for name, block in result["leakage"]["per_source"].items():
        assert len(block["profiles"]["pairs"]) == 3 and block["bystanders"] == 32, name
        assert block["profiles"]["ratio"] == pytest.approx(1, abs=0.12)
        assert block["spread"]["profile"] < block["spread"]["sampling"]
        assert block["intraclass"]["agreement"] == pytest.approx(block["spread"]["agreement_if_only_sampling"], abs=0.1)
    assert result["spearman_rho"][MEAN]["sampling_from"] == "replies"
    drawn = run_program("plot_figure", "seed_stability", "--seeds", "seeds.json", "--output", "figure.svg", cwd=tmp_path)
    assert drawn.returncode == 0, drawn.stderr
    assert all((tmp_path / f"figure.{kind}").stat().st_size > 0 for kind in ("pdf", "png", "svg"))


def compared(*runs):
    """compare_seeds of runs (see make_run) with one reply per question."""
    matrices, counts, _ = simulate(World(sources=2, bystanders=1, layers=1, replies=1), np.random.default_rng(0))
    table = replace(matrices, layers=[21], sources=["villain", "comedian"], personas=["villain", "comedian", "nurse"]), counts
    return compare_seeds(list(runs), [table] * len(runs))


def make_run(training, rho):
    """A correlation.json with what is read of it: villain's rho is given, comedian's undefined."""
    sources = {"villain": {"spearman_rho": rho}, "comedian": {"spearman_rho": None}}
    nothing = {"cells": {"nurse": {"rate": 0.5}}}
    return {
        "meta": {"training_seed": training, "sampling_seed": 0},
        "headline_layer": 21,
        "leakage": {"villain": nothing},
        "noise_ceiling": {"villain": {"samples": {"ceiling": None}}},
        "joint": {"sources": ["villain", "comedian"]},
        "layers": {"21": {"per_source": sources, "within_source": {"mean_rho": rho}}},
    }


def test_two_training_seeds_by_hand():
    """0.5 and 0.7: standard deviation 0.1414."""
    result = compared(make_run(1, 0.5), make_run(2, 0.7))
    villain = result["spearman_rho"]["villain"]
    assert villain["training_and_sampling"] == pytest.approx(0.02**0.5)
    assert (villain["mean"], villain["lowest"], villain["highest"]) == pytest.approx((0.6, 0.5, 0.7))
    assert villain["values"] == [0.5, 0.7] and villain["sampling"] is None and villain["sampling_from"] is None
    assert result["spearman_rho"]["comedian"]["undefined"] == "a run lacks a correlation"


def test_a_source_that_spreads_evenly_is_not_compared():
    runs = [{**make_run(seed, None), "even_spread": {"villain": {"even": bool(seed)}}} for seed in (0, 1)]
    block = compared(*runs)["leakage"]["per_source"]["villain"]
    for key in ("profiles", "intraclass", "spread"):
        assert block[key]["undefined"] == "the behaviour spreads evenly in 1 of 2 runs"
    assert block["mean_rates"] == [0.5, 0.5]


def test_the_mean_is_compared_over_the_same_sources_only():
    """A source without correlation in one run would look like spread of the others."""
    other = {**make_run(2, 0.7), "joint": {"sources": ["villain"]}}
    result = compared(make_run(1, 0.5), other)
    assert result["spearman_rho"]["mean of the sources"]["undefined"] == "a run lacks a correlation"
