"""The page that compares models: agreement of their cosines and leakage, recomputed from the kept tables, and what the page says of it."""

from functools import cache
from itertools import combinations, product

import numpy as np
import pandas as pd
from scipy import stats

from persona_leakage.infrastructure.files import read_json
from persona_leakage.publishing.archive import differences
from persona_leakage.statistics.prediction.study import all_cosines
from tests.conftest import ROOT
from tests.publishing.test_kept_seeds import SOURCES
from tests.publishing.test_kept_studies import RESULTS, partial_rho, text_of

# name: (pairs, headline layer)
MODELS = {
    "smollm2": ("docs/results/smollm2_study/analysis/evaluation/seed{}/pairs.csv", 21),
    "qwen_coder": ("docs/results/qwen_coder_seeds/analysis/evaluation/seed{}/pairs.csv", 20),
    "published": ("tests/data/published_pairs.csv", 20),
}
SAME_PROMPTS = ("smollm2", "qwen_coder")  # the published study's personas have the same names and other prompts
CASES = list(product(SAME_PROMPTS, ("rate", "logprob_gain")))


@cache
def read_models(seed=42, **layers):
    """{model: {source: table of its bystanders, in one order}} of a training seed; the published table has one.

    layers: of some models, in the place of their headline layers.
    """
    paths = {name: (ROOT / path.format(seed), layers.get(name, layer)) for name, (path, layer) in MODELS.items()}
    tables = {name: pd.read_csv(path).query(f"layer == {layer}").set_index(["source", "persona"]) for name, (path, layer) in paths.items()}
    order = {source: sorted(tables["published"].loc[source].index) for source in SOURCES}
    return {name: {source: table.loc[source].loc[order[source]] for source in SOURCES} for name, table in tables.items()}


def rho_of(tables, one, other):
    """{source: rank correlation} of two columns, each given as (model, column)."""
    columns = ([tables[model][source][column].to_numpy() for source in SOURCES] for model, column in (one, other))
    return {source: partial_rho(x, y) for source, x, y in zip(SOURCES, *columns, strict=True)}


def partial_of(tables, leaking, outcome, predicting, others=()):
    """{source: partial rank correlation} of one model's leakage and the cosines of another, given the cosines of the models ``others``."""
    return {
        source: partial_rho(
            tables[predicting][source]["cosine"].to_numpy(),
            tables[leaking][source][outcome].to_numpy(),
            [tables[name][source]["cosine"].to_numpy() for name in others],
        )
        for source in SOURCES
    }


@cache
def cosines_of(model):
    """Table of a base model's cosines between all personas, at the headline layer; those of all training seeds are equal."""
    path, layer = MODELS[model]
    path = ROOT / path.format(42).replace("pairs", "cosines")
    personas = sorted({*pd.read_csv(path)[["persona_a", "persona_b"]].to_numpy().flat})
    return pd.DataFrame(all_cosines(path, layer, personas), personas, personas)


def given_negatives(tables, leaking, outcome, predicting):
    """{source: partial rank correlation}, given the predicting model's cosines to each negative of the leaking model's source."""
    cosines, found = cosines_of(predicting), {}
    for source in SOURCES:
        rows = tables[leaking][source]
        near = cosines.loc[rows.index[rows["negative"]], rows.index].to_numpy()
        found[source] = partial_rho(tables[predicting][source]["cosine"].to_numpy(), rows[outcome].to_numpy(), near)
    return found


def advantages(correlate, tables, model, outcome):
    """{source: correlation with the own cosines less that with the cosines of the other model with the same prompts}."""
    own, other = (correlate(tables, model, outcome, name) for name in (model, other_of(model)))
    return {source: own[source] - other[source] for source in SOURCES}


def other_of(model):
    return next(name for name in SAME_PROMPTS if name != model)


def over_sources(values):
    """{mean, low, high}: 95 % of the mean over sources, by t."""
    values = np.array(list(values.values()))
    low, high = stats.ttest_1samp(values, 0).confidence_interval()
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}


def compute_models():
    """cosine, rate, logprob_gain: agreement of two models; predicted: leakage by the cosines of each model.

    Of the two models with the same prompts: given_other, leakage by the own cosines, given the other model's, and other_given_own;
    advantage of the own cosines over the other model's, and the same given closeness to the negatives.
    """
    tables = read_models()
    both = {f"{one} and {other}": (one, other) for one, other in combinations(MODELS, 2)}
    found = {name: {pair: rho_of(tables, (one, name), (other, name)) for pair, (one, other) in both.items()} for name in ("cosine", "rate")}
    found["logprob_gain"] = {"smollm2 and qwen_coder": rho_of(tables, ("smollm2", "logprob_gain"), ("qwen_coder", "logprob_gain"))}
    found |= {name: {} for name in ("predicted", "given_other", "other_given_own", "advantage", "advantage_given_negatives")}
    for name, outcome in (*CASES, ("published", "rate")):
        found["predicted"][f"{name}, {outcome}"] = {model: rho_of(tables, (model, "cosine"), (name, outcome)) for model in MODELS}
        if name in SAME_PROMPTS:
            case, other = f"{name}, {outcome}", other_of(name)
            found["given_other"][case] = partial_of(tables, name, outcome, name, [other])
            found["other_given_own"][case] = partial_of(tables, name, outcome, other, [name])
            found["advantage"][case] = over_sources(advantages(partial_of, tables, name, outcome))
            found["advantage_given_negatives"][case] = over_sources(advantages(given_negatives, tables, name, outcome))
    found["mean_bystander_rate"] = {
        name: {source: float(rows["rate"].mean()) for source, rows in by.items()} for name, by in tables.items()
    }
    return found


def worse_cases(tables, correlate):
    """The (model, outcome, source) in which the own cosines do not predict better than the other model's, with the same prompts."""
    for source in SOURCES:
        assert tables["smollm2"][source]["word_similarity"].equals(tables["qwen_coder"][source]["word_similarity"])
    found = {case: advantages(correlate, tables, *case) for case in CASES}
    return [(*case, source) for case, block in found.items() for source in SOURCES if block[source] <= 0]


def mean(block):
    return sum(block.values()) / len(block)


def test_numbers_of_the_page_are_recomputed():
    assert list(differences(compute_models(), read_json(RESULTS / "models.json"))) == []


def test_statements_on_whose_cosines_predict():
    """Of single cases with each seed, of intervals, and of what is left given other cosines."""
    page, found = text_of("docs/results/models.md"), read_json(RESULTS / "models.json")
    tables = {seed: read_models(seed) for seed in (42, 137, 256)}
    worse = {seed: worse_cases(each, partial_of) for seed, each in tables.items()}
    assert worse == {42: [("smollm2", "rate", "assistant")], 137: [("smollm2", "rate", "villain")], 256: []}
    assert "in 19 of 20 cases; the exception is the small model's assistant, by the rate. (19 and 20 with the other two seeds.)" in page
    assert "in 19 of 20 cases" in text_of("docs/results/index.md")
    assert [20 - len(worse_cases(each, given_negatives)) for each in tables.values()] == [16, 18, 17]
    assert "remains in 16 of 20 cases (18 and 17 with the other two seeds)" in page
    plain, given = found["advantage"], found["advantage_given_negatives"]
    assert {case for case, block in plain.items() if block["low"] > 0} == {"qwen_coder, rate", "qwen_coder, logprob_gain"}
    assert all(0 < given[case]["mean"] < plain[case]["mean"] for case in plain)
    added = {case: mean(block) for case, block in found["other_given_own"].items()}
    assert added.pop("smollm2, rate") > 0.2 and all(abs(value) < 0.05 for value in added.values())
    for outcome in ("rate", "logprob_gain"):
        block = found["predicted"][f"qwen_coder, {outcome}"]
        assert mean(block["published"]) > mean(block["smollm2"])


def test_statements_on_agreement():
    """No source spreads most in two models; half of the negatives are the same; rates of two sources are near 0."""
    page, found, tables = text_of("docs/results/models.md"), read_json(RESULTS / "models.json"), read_models()
    top = {name: max(block, key=block.get) for name, block in found["mean_bystander_rate"].items()}
    assert top == {"smollm2": "villain", "qwen_coder": "kindergarten_teacher", "published": "software_engineer"}
    assert "the villain, the kindergarten teacher and the software engineer" in page
    negatives = [[{*rows.index[rows["negative"]]} for rows in tables[name].values()] for name in SAME_PROMPTS]
    assert [{*map(len, each)} for each in negatives] == [{3}, {2}]
    shared = sum(len(one & other) for one, other in zip(*negatives, strict=True))
    assert shared == 10 / 2, "half are the same"
    low = [found["mean_bystander_rate"][name][source] for name in SAME_PROMPTS for source in ("assistant", "software_engineer")]
    assert f"are {100 * min(low):.1f} to {100 * max(low):.1f} %" in page
    assert {name: {*tables[name]["villain"]["total"]} for name in MODELS} == {"smollm2": {200}, "qwen_coder": {100}, "published": {200}}


def test_other_layers_of_the_other_model_predict_worse_too():
    """At any kept layer."""
    found, means = read_json(RESULTS / "models.json")["predicted"], []
    for model, outcome in CASES:
        other = other_of(model)
        layers = pd.read_csv(ROOT / MODELS[other][0].format(42))["layer"].unique()
        rhos = [mean(partial_of(read_models(**{other: layer}), model, outcome, other)) for layer in layers]
        assert max(rhos) < mean(found[f"{model}, {outcome}"][model]) and len(rhos) == 4
        means += rhos
    assert f"{min(means):+.2f} to {max(means):+.2f} (seed 42)" in text_of("docs/results/models.md")
