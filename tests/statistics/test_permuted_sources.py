"""The second null hypothesis: other personas in the sources' place, against formulas, in worlds of related personas, on kept tables."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.core.ranks import double_centre
from persona_leakage.statistics.leakage.baseline_predictors import describe_baselines
from persona_leakage.statistics.leakage.permuted_sources import (
    alike_sets,
    draw_permuted_sources,
    other_orders,
    pair_correlations,
    partial_correlations,
    permuted_source_tests,
    rank_correlations,
)
from persona_leakage.statistics.leakage.summary import analyse
from persona_leakage.statistics.validation.null_worlds import (
    BY_RATE_CLAIMS,
    CLAIMS,
    NULL_WORLDS,
    TRUE_IN,
    answers,
    close_leaks,
    experiment,
    supported,
)
from persona_leakage.statistics.validation.simulation import SCENARIOS, simulate
from persona_leakage.tables.question_counts import read_cosines, read_question_counts
from persona_leakage.tables.read import read_pairs
from tests.conftest import ROOT
from tests.support.synthetic import make_tables

QUICK = {"min_category_size": 5, "permutations": 299, "bootstraps": 200}
STUDY = ROOT / "docs/results/smollm2_study/analysis/evaluation"


@pytest.fixture(scope="module")
def simulated():
    """(matrices, cosines) of a synthetic experiment whose sources have relatives."""
    matrices, _, cosines = simulate(SCENARIOS["pair effect"], np.random.default_rng(3))
    related = np.zeros_like(matrices.related)
    related[:, 7:12] = True
    return replace(matrices, related=related), cosines


@pytest.mark.parametrize(("size", "count"), [(2, 1), (3, 5), (5, 119)])
def test_all_other_orders_of_few(size, count):
    found = other_orders(np.arange(10, 10 + size), 10_000, np.random.default_rng(0))
    assert len(found) == count == len({tuple(row) for row in found})
    assert (found != np.arange(10, 10 + size)).any(axis=1).all() and (np.sort(found, axis=1) == np.arange(10, 10 + size)).all()


def test_other_orders_of_many_are_drawn():
    found = other_orders(np.arange(12), 500, np.random.default_rng(0))
    assert found.shape == (500, 12) and (np.sort(found, axis=1) == np.arange(12)).all()


def test_who_may_replace_a_source(simulated):
    """Every persona, nobody for two sources in one draw; not one that is as close to everybody."""
    matrices, cosines = simulated
    sources = [0, 2, 3]
    permuted_sources, problem = draw_permuted_sources(matrices, sources, cosines, 4000, np.random.default_rng(1))
    assert problem is None and permuted_sources.kind == "other personas"
    assert all(set(permuted_sources.drawn[:, column]) == {*range(len(matrices.personas))} for column in range(3))
    assert all(len(set(row)) == len(sources) for row in permuted_sources.drawn)
    assert "one source, and no cosines" in draw_permuted_sources(matrices, [0], None, 10, np.random.default_rng(0))[1]
    flat = cosines.copy()
    flat[:, 9] = 0.5
    assert 9 not in draw_permuted_sources(matrices, sources, flat, 4000, np.random.default_rng(1))[0].drawn
    few = np.zeros_like(cosines)
    few[:, :4] = cosines[:, :4]
    assert (
        "4 personas with cosines that differ are too few" in draw_permuted_sources(matrices, sources, few, 10, np.random.default_rng(1))[1]
    )


def test_permuted_sources_resemble_each_other_as_the_sources_do():
    """How many of ten families they are of, for sources of one, two and four."""
    generator = np.random.default_rng(0)
    family = np.arange(100) % 10
    vectors = generator.normal(size=(10, 20))[family] * 2 + generator.normal(size=(100, 20))
    cosines = vectors @ vectors.T / np.linalg.norm(vectors, axis=1)[:, None] / np.linalg.norm(vectors, axis=1)
    kinds = {}
    for name, own in (("one", [0, 10, 20, 30]), ("two", [0, 10, 1, 11]), ("four", [0, 1, 2, 3])):
        drawn = alike_sets(cosines, np.array(own), np.arange(100), 300, generator)
        kinds[name] = np.mean([len(set(family[row])) for row in drawn])
    assert kinds["one"] < 1.5 < kinds["two"] < 3 < 3.5 < kinds["four"], kinds


def test_correlations_leave_a_permuted_source_out_of_the_bystanders(simulated):
    """Rank correlations match scipy; partial correlations of the true sources match describe_baselines."""
    matrices, cosines = simulated
    sources = list(range(5))
    permuted_sources, _ = draw_permuted_sources(matrices, sources, cosines, 10, np.random.default_rng(1))
    found = rank_correlations(matrices, sources, permuted_sources.cosines, permuted_sources.personas)
    for row in (0, 20, 44):
        indices = [index for index in matrices.bystanders if index != row]
        expected = stats.spearmanr(cosines[1, row, indices], matrices.rate[2, indices]).statistic
        assert found[1, row, 2] == pytest.approx(expected, abs=1e-12)
    baselines = describe_baselines(matrices, sources, np.array([np.arange(len(matrices.bystanders))]))[0]["partial_linear"]["per_source"]
    partial = partial_correlations(matrices, sources, permuted_sources)
    for column, name in enumerate(matrices.sources):
        assert partial[0, permuted_sources.actual[column], column] == pytest.approx(baselines[name]["rho"], abs=1e-9)


def test_pair_correlations_against_plain_formulas():
    """Double centring and gain adjustment over the bystanders that are kept, one draw at a time."""
    generator = np.random.default_rng(2)
    x, y = generator.normal(size=(6, 4, 30)), generator.normal(size=(4, 30))
    kept = (generator.random((6, 30)) > 0.2).astype(float)
    found = pair_correlations(x, y, kept)
    for index in range(6):
        members = kept[index] > 0
        first, second = x[index][:, members], y[:, members]
        centred = stats.pearsonr(double_centre(first).ravel(), double_centre(second).ravel()).statistic
        assert found[0, index] == pytest.approx(centred, abs=1e-12)
        adjusted = []
        for values in (first, second):
            rows = []
            for row, own in enumerate(values):
                others = np.delete(values, row, axis=0).mean(axis=0)
                design = np.stack([np.ones_like(others), others], axis=1)
                rows.append(own - design @ np.linalg.lstsq(design, own, rcond=None)[0])
            adjusted.append(np.concatenate(rows))
        assert found[1, index] == pytest.approx(stats.pearsonr(*adjusted).statistic, abs=1e-12)


def test_rates_that_are_those_of_the_control_support_nothing():
    """Every adapter's rate is the base model's: there is no leakage, whatever the rates correlate with."""
    table = make_tables()["pairs"]
    one = table.drop_duplicates("persona").set_index("persona")
    table["found"] = [int(one["found"][name]) for name in table["persona"]]
    table["rate"] = table["base_rate"] = table["found"] / table["total"]
    table["source_base_rate"] = 0.0
    result = analyse(table, 0, QUICK)
    assert "leakage is the same for all bystanders" in result["joint"]["undefined"]
    assert {entry["answer"] for entry in result["verdict"] if entry["id"] in CLAIMS} == {"cannot tell"}


def permuted_source_p_values(world, seed):
    generator = np.random.default_rng(seed)
    table, _, cosines = experiment(world(generator), generator)
    matrices = matrices_of(table)
    sources, _, _ = matrices.usable_sources()
    clear = matrices.clear_sources(sources)
    permuted_sources, of_clear = (draw_permuted_sources(matrices, some, cosines, 200, generator)[0] for some in (sources, clear))
    tests = permuted_source_tests(matrices, sources, permuted_sources, clear, of_clear)
    return {name: test[0]["p"] for name, test in tests.items() if test}


RELATED = [
    pytest.param(name, 400, marks=pytest.mark.slow) for name in ("families", "few families", "sources alike", "two groups of sources")
]


@pytest.mark.parametrize(("name", "tables"), [("two groups of sources", 50), *RELATED])
def test_p_values_where_related_personas_are_alike(name, tables):
    """About 5 % below 0.05, also where the sources are relatives of each other; relabelling alone gives up to 55 %."""
    found = [permuted_source_p_values(NULL_WORLDS[name], [2, number]) for number in range(tables)]
    shares = {test: np.mean([each[test] <= 0.05 for each in found if test in each]) for test in found[0]}
    bound = float(stats.binom.ppf(0.99, tables, 0.08)) / tables
    assert max(shares.values()) <= bound, shares


def most(tables):
    """The largest share of 5 % that chance gives in 99 of 100 cases."""
    return float(stats.binom.ppf(0.99, tables, 0.05)) / tables


MANY = [(name, 60) for name in ("families", "two groups of sources", "smooth", "gain", "as the control", "reply length")]


@pytest.mark.parametrize(("name", "tables"), [("families", 2), *(pytest.param(*each, marks=pytest.mark.slow) for each in MANY)])
def test_worlds_of_related_personas_support_nothing_that_is_not_there(name, tables):
    """Where relabelling alone finds an association, or an effect of the pair, in up to half of all experiments."""
    shares = supported([answers(NULL_WORLDS[name], [1, number]) for number in range(tables)])
    assert all(shares[claim] <= most(tables) for claim in CLAIMS if claim not in TRUE_IN.get(name, ())), shares


@pytest.mark.parametrize("tables", [2, pytest.param(40, marks=pytest.mark.slow)])
def test_what_is_there_is_supported(tables):
    shares = supported([answers(close_leaks, [1, number]) for number in range(tables)])
    assert min(shares.values()) >= 0.95, shares


def permuted_source_table(table, matrices, cosines, counts, generator):
    """The kept tables with the closeness of five other bystanders in the place of the sources', these bystanders left out."""
    chosen = generator.choice(matrices.bystanders, len(matrices.sources), replace=False)
    rows = [matrices.personas.index(name) for name in matrices.sources]
    keep = np.array([index for index in range(len(matrices.personas)) if index not in chosen])
    moved = cosines.copy()
    moved[:, rows], moved[:, :, rows] = cosines[:, chosen], cosines[:, :, chosen]
    moved[:, rows, rows] = 1
    index_of = {name: number for number, name in enumerate(matrices.personas)}
    table = table[~table["persona"].isin([matrices.personas[number] for number in chosen])].copy()
    layer = {number: row for row, number in enumerate(matrices.layers)}
    pairs = zip(table["layer"], table["source"], table["persona"], strict=True)
    table["cosine"] = [moved[layer[each], index_of[source], index_of[persona]] for each, source, persona in pairs]
    kept = {key: values[:, keep] for key, values in counts.items()}
    return table.drop(columns=["cosine_raw", "word_similarity", "char_similarity"]), kept, moved[np.ix_(range(len(moved)), keep, keep)]


@pytest.mark.parametrize(("seed", "tables"), [(42, 2), pytest.param(137, 50, marks=pytest.mark.slow)])
def test_the_kept_study_supports_no_other_geometry(seed, tables):
    home = STUDY / f"seed{seed}"
    table = read_pairs(home / "pairs.csv")
    table = table[table["layer"] == 21]
    matrices = matrices_of(table)
    cosines, counts = read_cosines(home / "cosines.csv", matrices), read_question_counts(home / "question_counts.csv", matrices)
    found = []
    for number in range(tables):
        moved = permuted_source_table(table, matrices, cosines, counts, np.random.default_rng([seed, number]))
        result = analyse(moved[0], 21, QUICK, moved[1], moved[2])
        found.append({entry["id"]: entry["answer"] for entry in result["verdict"]})
    shares = {claim: np.mean([each[claim] == "supported" for each in found]) for claim in BY_RATE_CLAIMS}
    assert max(shares.values()) <= most(tables), shares
