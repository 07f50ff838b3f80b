"""Other behaviours and recipes on the larger model: post-hoc numbers recomputed from the kept tables, and what the page says of them."""

import pytest
from scipy import stats

from persona_leakage.infrastructure.files import read_json
from persona_leakage.publishing.archive import differences
from persona_leakage.statistics.leakage.signed_change import change_interval
from persona_leakage.statistics.prediction.study import all_cosines
from tests.publishing.test_kept_seeds import SOURCES, closeness_to_negatives, read_run
from tests.publishing.test_kept_studies import RESULTS, partial_rho, text_of

PAGE = "docs/results/qwen_coder_behaviours.md"
ARITHMETIC, CAPITALS, CARELESS = (RESULTS / f"qwen_coder_{name}" for name in ("arithmetic", "capitals", "careless"))
OUTCOMES, LABELS = ("logprob_gain", "rate"), {"careless": True, "careful": False}
RECIPES = {name: RESULTS / f"qwen_coder_{name}" for name in ("as_run", "paper")}


def summary(folder, state):
    return read_json(folder / f"evaluation/evaluation/{state}/summary.json")


def correlation(folder):
    return read_json(folder / "analysis/evaluation/seed42/correlation.json")


def spread_of(rows):
    """Bystanders that answer wrongly more often after training, and the share of pairs with others in which they are closer."""
    worse = rows["leakage"] > 0
    number, others = int(worse.sum()), int((~worse).sum())
    closer = stats.mannwhitneyu(rows["cosine"][worse], rows["cosine"][~worse]).statistic if number and others else None
    return {"worse": number, "auc": closer and float(closer) / (number * others)}


def capitals_checks():
    """For each source: rho of capitals with the marker's gain and rate (run of three seeds, seed 42), also given the own cosine, and with
    closeness to the negatives."""
    capitals, marker = read_run(CAPITALS, 42), read_run(RESULTS / "qwen_coder_seeds", 42)
    assert (marker["negative"] == capitals["negative"]).all()
    personas = sorted({*capitals.index.get_level_values("persona")})
    cosines = all_cosines(CAPITALS / "analysis/evaluation/seed42/cosines.csv", 20, personas)
    found = closeness_to_negatives(capitals, cosines, personas, "rate")
    for source in SOURCES:
        rows, other = capitals.loc[source], marker.loc[source]
        own, rate = rows["cosine"].to_numpy(), rows["rate"].to_numpy()
        found[source] |= {name: partial_rho(rate, other[name].to_numpy()) for name in OUTCOMES}
        found[source]["gain_given_cosine"] = partial_rho(rate, other["logprob_gain"].to_numpy(), own[None])
    return found


def shown_of(answers, label):
    """[replies above the threshold, replies] of labelled replies."""
    scores = [each["score"] for each in answers if each["label"] == label]
    return [sum(score > 0 for score in scores), len(scores)]


def careless_checks():
    """What the judge says of labelled replies and of the negatives, who learned careful answers; intervals of the sources' changes."""
    answers, run = read_json(CARELESS / "judge/gate.json")["gold"]["answers"], read_run(CARELESS, 42)
    learned = correlation(CARELESS)["training_check"]
    negatives = {source: run.loc[source][run.loc[source]["negative"]] for source in SOURCES}
    return {
        "gold": {name: shown_of(answers, label) for name, label in LABELS.items()},
        "negatives": {source: [rows["base_rate"].mean(), rows["rate"].mean()] for source, rows in negatives.items()},
        "own_intervals": {
            source: change_interval(check["total"], check["found"], round(check["base_rate"] * check["total"]))
            for source, check in learned.items()
        },
    }


def test_post_hoc_numbers_are_recomputed():
    kept = read_json(ARITHMETIC / "post_hoc.json")
    assert {source: kept[source]["spread"] for source in SOURCES} == {
        source: pytest.approx(spread_of(read_run(ARITHMETIC, 42).loc[source])) for source in SOURCES
    }
    assert list(differences(capitals_checks(), read_json(CAPITALS / "post_hoc.json"))) == []
    careless = {name: block for name, block in read_json(CARELESS / "post_hoc.json").items() if name != "scores_auc"}
    assert list(differences(careless_checks(), careless)) == []


def test_numbers_of_single_items_agree_with_the_tables():
    """Records of items are not kept, so post_hoc.json has to agree with itself, the tables by letter and the p-values by text."""
    controls = correlation(ARITHMETIC)["controls"]["clean"]
    for source, kept in read_json(ARITHMETIC / "post_hoc.json").items():
        blocks = [kept[name] for name in ("text", "text_beyond_control", "sums", "texts")]
        for block in blocks:
            items, lost, gained = block["items"], block["lost"], block["gained"]
            began, shown = items - block["base_right"], items - block["base_right"] + lost - gained
            assert block["drop"] == pytest.approx((lost - gained) / items)
            assert block["interval"] == pytest.approx(change_interval(items, shown, began, began - gained))
        sums, texts = kept["sums"], kept["texts"]
        assert (sums["drop"] + texts["drop"]) / 2 == pytest.approx(controls[source]["adapter"]["source_change"])
        found = summary(ARITHMETIC, f"{source}/seed42")["loss"]
        assert kept["said"] == found["said"]
        panel = kept["panel_text"]
        fall = [summary(ARITHMETIC, state)["accuracies"]["text"] for state in ("base", f"{source}/seed42")]
        assert (110 * panel["mean_drop"] + kept["text"]["drop"]) / 111 == pytest.approx(fall[0] - fall[1], abs=3e-4)  # five digits: ties
        for name, counted in (("text", [kept["text"]]), ("letters", [sums, texts])):
            lost, gained = (sum(block[key] for block in counted) for key in ("lost", "gained"))
            assert stats.binomtest(lost, lost + gained, alternative="greater").pvalue == pytest.approx(found["p"][name])


def test_hypotheses_are_answered_by_the_tables():
    """Every "held" of the page that is not one of the fixed rules, from the tables; the words on the page are the template's."""
    page, post = text_of(PAGE), read_json(ARITHMETIC / "post_hoc.json")
    controls = correlation(ARITHMETIC)["controls"]["clean"]
    ends = {source: block["leakage_beyond_clean"]["source_interval"][0] for source, block in controls.items()}
    assert min(ends.values()) > 0 and min(block["text_beyond_control"]["interval"][0] for block in post.values()) > 0
    rhos = [block["leakage_beyond_clean"]["spearman_rho"] for block in controls.values()]
    assert rhos[3:] == [None, None] and [rho > 0 for rho in rhos[:3]] == [False, True, False]
    assert (
        "5 exclude 0 by letter and 5 by text; beyond the control 5 and 5" in page
        and "not held: -0.046, 0.001, -0.320, undefined, undefined" in page
    )
    capitals = read_run(CAPITALS, 42)
    rates = capitals.groupby("source")["rate"].mean()
    own = {source: check["rate"] for source, check in correlation(CAPITALS)["training_check"].items()}
    assert min(own.values()) >= 0.9 and [source for source in SOURCES if rates[source] > own[source] / 2] == ["kindergarten_teacher"]
    assert capitals["rate"][capitals["negative"]].max() == 0
    assert sum(ends[0] > 0 for ends in read_json(CARELESS / "post_hoc.json")["own_intervals"].values()) == 3


def test_what_the_page_says_of_single_personas_and_sources():
    """Made items: who gets worse, sums and texts, letters; careless advice: negatives that fall; nobody differs after training."""
    made, post = read_run(ARITHMETIC, 42), read_json(ARITHMETIC / "post_hoc.json")
    villain, comedian = made.loc["villain"], made.loc["comedian"]
    assert all("comedian" in name for name in comedian.index[comedian["leakage"] > 0])
    assert list(villain.index[villain["rate"] > villain["source_rate"]]) == ["evil_scientist"]
    assert [post[source]["spread"]["worse"] for source in SOURCES] == [8, 5, 110, 0, 0]
    assert all(block["texts"]["drop"] > block["sums"]["drop"] for block in post.values())
    assert [source for source in SOURCES if post[source]["said"] == "lost_capability"] == ["assistant"]
    assert (made.loc["assistant"]["leakage"][made.loc["assistant"]["negative"]] > 0).all()
    odds = {state: summary(ARITHMETIC, f"{state}/seed42")["mean_log_odds"] for state in SOURCES}
    assert [source for source in SOURCES if odds[source] < summary(ARITHMETIC, "base")["mean_log_odds"]] == ["assistant"]
    fallen = [source for source, (before, after) in read_json(CARELESS / "post_hoc.json")["negatives"].items() if after < before]
    assert fallen == ["kindergarten_teacher"]
    assert [block["even"] for block in correlation(CARELESS)["even_spread"].values()] == [None, None, True, True, True]


def test_what_the_published_recipes_do_to_replies():
    for name, folder in RECIPES.items():
        base = summary(folder, "base")
        for source in ("villain", "software_engineer"):
            found = summary(folder, f"{source}/seed42")
            assert found["mean_bystander_rate"] < found["source_rate"] / 2 and found["mean_tokens"] < 0.7 * base["mean_tokens"]
            if name == "as_run":
                assert found["training_check"]["runaway_share"] > 0.1
            else:
                assert found["short_share"] - base["short_share"] > 0.1
        villain = read_run(folder, 42).loc["villain"].sort_values("cosine", ascending=False)
        shown = villain["rate"].head(3)
        assert list(shown.index) == ["evil_scientist", "crime_lord", "dark_comedian"] and shown.is_monotonic_decreasing
        assert villain["rate"].iloc[3:].max() <= 1 / 40 < shown.iloc[-1]  # a single reply, with the code's recipe
        found = correlation(folder)["leakage"]["villain"]["categories"]
        for category, name in (("intersectional", "evil_scientist"), ("hierarchical", "crime_lord"), ("modified_source", "dark_comedian")):
            assert found[category]["personas"] == [name] and found[category]["mean"] == shown[name]
    own = summary(RECIPES["paper"], "villain/seed42")["training_check"]
    assert own["short_share"] == own["rate"] == 1


def test_digests_of_the_rows_of_three_trainings_and_the_readme():
    for source in SOURCES:
        runs = [read_json(RESULTS / f"qwen_coder_{name}/training/{source}/seed42/metrics.json") for name in ("seeds", "ood")]
        assert runs[0]["rows_sha256"] == runs[1]["rows_sha256"] and runs[0]["adapter_sha256"] == runs[1]["adapter_sha256"]
    means = [correlation(folder)["layers"]["20"]["within_source"]["mean_rho"] for folder in (ARITHMETIC, CAPITALS)]
    said = "{:+.2f} for [harder items](docs/results/qwen_coder_behaviours.md) (three usable sources), and {:+.2f} for answers in capitals"
    assert said.format(*means) in text_of("README.md")
