"""The larger model with three training seeds: post-hoc numbers recomputed from the kept tables, and what the pages say of the seeds."""

from itertools import combinations

import numpy as np
import pandas as pd

from persona_leakage.infrastructure.files import read_json
from persona_leakage.publishing.archive import differences
from persona_leakage.statistics.prediction.study import all_cosines
from persona_leakage.tables.read import read_pairs
from tests.conftest import ROOT
from tests.publishing.test_kept_studies import RESULTS, partial_rho, text_of
from tests.statistics.test_analysis import QUICK, analyse

HOME, SEEDS, LAYER = RESULTS / "qwen_coder_seeds", (42, 137, 256), 20
SOURCES = ("villain", "comedian", "assistant", "software_engineer", "kindergarten_teacher")


def read_run(folder, seed):
    """Pairs at the headline layer, in the same order for every run."""
    pairs = pd.read_csv(folder / f"analysis/evaluation/seed{seed}/pairs.csv").query("layer == @LAYER")
    return pairs.set_index(["source", "persona"]).sort_index()


def correlations(seed):
    return read_json(HOME / f"analysis/evaluation/seed{seed}/correlation.json")


def rank_agreement(first, second, outcome):
    """Rank correlation of an outcome of two runs, over each source's bystanders."""
    return {source: partial_rho(first.loc[source][outcome].to_numpy(), second.loc[source][outcome].to_numpy()) for source in SOURCES}


def closeness_to_negatives(run, cosines, personas, outcome="logprob_gain"):
    """For each source, by an outcome: rho with the mean cosine to its negatives, and with the own cosine given the cosine to each."""
    places, found = {name: place for place, name in enumerate(personas)}, {}
    for source in SOURCES:
        rows = run.loc[source]
        columns = [places[name] for name in rows.index]
        near = np.stack([cosines[places[name]][columns] for name in rows.index[rows["negative"]]])
        own, leaks = rows["cosine"].to_numpy(), rows[outcome].to_numpy()
        found[source] = {"near": partial_rho(near.mean(axis=0), leaks), "given_each": partial_rho(own, leaks, near)}
    return found


def refusals_of(counts, run):
    """Shares of the villain's own replies that are refusals, and rho with the rate among replies that are not."""
    villain = run.loc["villain"]
    others = counts.loc[villain.index]
    rates = (others["found"] - others["found_in_refusals"]) / (others["replies"] - others["refusals"])
    own = counts.loc["villain"]
    assert (others["found"] == villain["found"]).all()
    return {
        "own": own["refusals"] / own["replies"],
        "own_without_adapter": own["base_refusals"] / own["replies"],
        "rho_without": partial_rho(villain["cosine"].to_numpy(), rates.to_numpy()),
    }


def compute_post_hoc():
    first, runs = read_run(RESULTS / "qwen_coder", 42), {seed: read_run(HOME, seed) for seed in SEEDS}
    personas = sorted({*first.index.get_level_values("persona")})
    cosines = all_cosines(HOME / "analysis/evaluation/seed42/cosines.csv", LAYER, personas)
    counts = pd.read_csv(HOME / "refusals.csv").set_index("persona")
    pairs = [(runs[a], runs[b]) for a, b in combinations(SEEDS, 2)]
    outcomes = ("logprob_gain", "rate")
    lowest = {name: [rank_agreement(*pair, name) for pair in pairs] for name in outcomes}
    return {
        "first_run": {name: rank_agreement(first, runs[42], name) for name in outcomes},
        "lowest_of_two_seeds": {name: {s: min(block[s] for block in lowest[name]) for s in SOURCES} for name in outcomes},
        "closeness_to_negatives": {str(seed): closeness_to_negatives(run, cosines, personas) for seed, run in runs.items()},
        "refusals": {str(seed): refusals_of(counts[counts["training_seed"] == seed], run) for seed, run in runs.items()},
    }


def test_post_hoc_numbers_of_the_seeds_are_recomputed():
    assert list(differences(compute_post_hoc(), read_json(HOME / "post_hoc.json"))) == []


def test_statements_on_the_seeds_that_the_template_does_not_compute():
    """Restarted trainings are whole; rows are other rows than in the first run; words on signs, order and the fall by the rate."""
    page, post = text_of("docs/results/qwen_coder_seeds.md"), read_json(HOME / "post_hoc.json")
    for source in SOURCES:
        runs = [read_json(HOME / f"training/{source}/seed{seed}/metrics.json") for seed in SEEDS]
        earlier = read_json(RESULTS / f"qwen_coder/training/{source}/seed42/metrics.json")
        assert {(run["steps"], run["resumed_from_step"], run["out_of_memory"]["times"]) for run in runs} == {(380, 0, 0)}
        assert len({run["rows_sha256"] for run in runs}) == 1 and runs[0]["rows_sha256"] != earlier["rows_sha256"]
        assert round(abs(runs[0]["tokens"] / earlier["tokens"] - 1), 3) <= 0.003
    assert "All 15 trainings took 380 steps, none resumed and none with smaller micro batches" in page
    lower = []
    for seed in SEEDS:
        own = correlations(seed)["outcomes"]["logprob_gain"]["layers"][str(LAYER)]["per_source"]
        block = post["closeness_to_negatives"][str(seed)]
        lower += [(source, seed) for source in SOURCES if not 0 < block[source]["given_each"] < own[source]["spearman_rho"]]
        assert abs(block["kindergarten_teacher"]["near"]) > own["kindergarten_teacher"]["spearman_rho"]
        assert [source for source in SOURCES if block[source]["near"] > 0] == ["assistant"]
    assert lower == [("assistant", 42)] and all(block["assistant"]["given_each"] > 0 for block in post["closeness_to_negatives"].values())
    rhos = [
        np.array([result["layers"][str(LAYER)]["per_source"][source]["spearman_rho"] for source in SOURCES])
        for result in (read_json(RESULTS / "qwen_coder/analysis/evaluation/seed42/correlation.json"), correlations(42))
    ]
    fall = rhos[0] - rhos[1]
    assert fall[[2, 3]].sum() > 0.5 * fall.sum() > 0


def test_limitations_have_the_mean_correlations_of_the_seeds():
    means = [correlations(seed)["outcomes"]["logprob_gain"]["layers"][str(LAYER)]["within_source"]["mean_rho"] for seed in SEEDS]
    assert "{:+.2f}, {:+.2f} and {:+.2f} with three training seeds".format(*means) in text_of("docs/limitations.md")


def test_the_first_runs_page_says_whether_the_seeds_agree_with_it():
    """By the gain, every answer of every seed is that of the first run."""
    first = read_json(RESULTS / "qwen_coder/analysis/evaluation/seed42/correlation.json")
    answers = [
        [claim["answer"] for claim in result["outcomes"]["logprob_gain"]["verdict"]] for result in (first, *map(correlations, SEEDS))
    ]
    assert answers[1:] == [answers[0]] * 3
    assert "in the second run, with the same answers by the gain" in text_of("docs/results/qwen_coder.md")


def test_the_index_has_the_answers_for_the_published_pairs():
    table = read_pairs(ROOT / "tests/data/published_pairs.csv")
    result = analyse(table, LAYER, {**QUICK, "permutations": 400, "bootstraps": 2000})
    layer, answers = result["layers"][str(LAYER)], {claim["id"]: claim["answer"] for claim in result["verdict"]}
    shown = {line.split(" | ")[0]: line.removesuffix(" |").split(" | ")[-1] for line in (RESULTS / "index.md").read_text().splitlines()}
    claims = {
        "Closer personas leak more": "association",
        "The pair matters, not the source and the bystander alone": "pair_specific",
        "It is closeness to the source itself": "source_identity",
        "Closeness adds to simpler predictors": "beyond_baselines",
        "One more source will show it": "new_sources",
        "How much a new source leaks can be told": "level",
    }
    assert {title: shown[f"| {title}"] for title in claims} == {title: answers[name] for title, name in claims.items()}
    assert shown["| mean rho, each seed"] == f"{layer['within_source']['mean_rho']:+.2f}"
    intervals = (layer["within_source"]["interval"], layer["meta_analysis"]["next_source_interval"])
    titles = ("| 95 %, other bystanders and questions, seed 42", "| 95 %, one more source, seed 42")
    assert [shown[title] for title in titles] == [f"[{low:.2f}, {high:.2f}]" for low, high in intervals]


def test_the_index_says_how_narrow_the_first_answer_is():
    """With the largest p of the three seeds, and the small model's seed that has another answer by the rate."""
    largest, answers = {"rate": 0, "logprob_gain": 0}, []
    for seed in SEEDS:
        result = correlations(seed)
        for outcome, block in (("rate", result), ("logprob_gain", result["outcomes"]["logprob_gain"])):
            largest[outcome] = max(largest[outcome], block["holm"]["association"]["p_holm"])
        study = read_json(RESULTS / f"smollm2_study/analysis/evaluation/seed{seed}/correlation.json")
        answers += [claim["answer"] for claim in study["verdict"] if claim["id"] == "association"]
    page = text_of("docs/results/index.md")
    assert "the largest p is {logprob_gain:.3f} by the gain and {rate:.3f} by the rate".format(**largest) in page
    assert sorted(answers) == ["cannot tell", "supported", "supported"]
    assert 'By the rate, one seed of the small model says "cannot tell"' in page


def test_exceptions_from_closeness_to_the_source_itself():
    """Sources whose own cosines rank below the middle of 111 as predictors of their leakage, with every seed."""
    for home, layer, exceptions in (
        (HOME, "20", {"rate": {"kindergarten_teacher"}, "logprob_gain": {"kindergarten_teacher"}}),
        (RESULTS / "smollm2_study", "21", {"rate": {"assistant"}, "logprob_gain": set()}),
    ):
        for seed in SEEDS:
            result = read_json(home / f"analysis/evaluation/seed{seed}/correlation.json")
            for outcome, block in (("rate", result), ("logprob_gain", result["outcomes"]["logprob_gain"])):
                ranks = block["layers"][layer]["specificity"]["ranks"]
                assert {source for source, found in ranks.items() if found["rank"] > 56} == exceptions[outcome]
