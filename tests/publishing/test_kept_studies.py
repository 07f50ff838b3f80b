"""Kept tables of the 40 sources, of recipes along training and of scored predictions: unchanged, recomputed, and as the pages say."""

import shutil

import check_new_sources
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from persona_leakage.infrastructure.files import plain, read_json
from persona_leakage.publishing.archive import check_copies, differences
from persona_leakage.statistics.comparisons.along_training import compare_recipes
from persona_leakage.statistics.core.ranks import standard_ranks, standardise
from persona_leakage.statistics.leakage.meta_analysis import combine_correlations
from persona_leakage.statistics.prediction.frozen import read_sealed
from persona_leakage.statistics.prediction.new_sources import describe_levels, hold_out_bystanders
from persona_leakage.statistics.prediction.scoring import calibration_curve, join_measured, score_source
from persona_leakage.statistics.prediction.study import all_cosines, spread
from persona_leakage.tables.read import read_pairs
from tests.conftest import ROOT

RESULTS = ROOT / "docs/results"
SOURCES, ALONG, NEW = (RESULTS / name for name in ("many_sources", "along_training", "smollm2_new_personas"))
SEED = "analysis/evaluation/seed42"


def text_of(page):
    return " ".join((ROOT / page).read_text(encoding="utf-8").split())


@pytest.mark.parametrize("folder", [SOURCES, ALONG], ids=lambda folder: folder.name)
def test_kept_files_are_unchanged(folder):
    assert check_copies(folder) == len([path for path in folder.rglob("*") if path.is_file()]) - 1


@pytest.mark.slow
def test_answers_for_a_new_source_are_reproduced(tmp_path):
    """From the kept block of pairs; the panel's cosines are the file of the study with five sources."""
    study = tmp_path / "many_sources"
    (study / SEED).mkdir(parents=True)
    shutil.copy(SOURCES / "run_config.yaml", study)
    for name in ("pairs.csv", "correlation.json"):
        shutil.copy(SOURCES / name.replace(".", "_block21."), study / SEED / name)
    shutil.copy(RESULTS / "smollm2_study" / SEED / "cosines.csv", study / SEED)
    check_new_sources.main([str(study), "--earlier", str(RESULTS / "smollm2_study")])
    new, kept = read_json(study / "new_sources.json"), read_json(SOURCES / "new_sources.json")
    assert list(differences(new["outcomes"], kept["outcomes"])) == []
    assert new["meta"]["left_out"] == kept["meta"]["left_out"] == {}
    assert new["meta"]["files"][f"{SEED}/cosines.csv"] == kept["meta"]["files"][f"{SEED}/cosines.csv"]


def test_answers_on_the_page_that_the_template_does_not_compute():
    """Only mean leakage is not told."""
    page = text_of("docs/results/many_sources.md")
    answers = [line.split(" | ")[2] for line in (RESULTS / "many_sources.md").read_text().splitlines() if line.count(" | ") == 3]
    assert answers[2:] == ["yes"] * 5 + ["no"] + ["yes"] * 2 and "All eight outcomes are as we expected" in page


def partial_rho(x, y, controls=()):
    """Spearman correlation of x and y [n]; ranks less their least-squares fit on the ranks of the controls, each [n]."""
    design = np.stack([np.ones(len(x)), *map(standard_ranks, controls)], axis=1)
    ranks = np.stack([standard_ranks(x), standard_ranks(y)], axis=1)
    first, second = standardise((ranks - design @ np.linalg.lstsq(design, ranks, rcond=None)[0]).T)
    return float(first @ second)


def post_hoc_correlations(closeness, outcome, near):
    """Of closeness, outcome [S, P] and near [S, 3, P], the cosines to each source's negatives: one block for each way of post_hoc.json."""
    rhos = {name: [] for name in ("as_tested", "given_mean", "given_largest", "given_each", "less_other_sources")}
    for place, (x, y, three) in enumerate(zip(closeness, outcome, near, strict=True)):
        known = ~np.isnan(y)
        x, y, three, others = x[known], y[known], three[:, known], np.delete(outcome, place, axis=0)[:, known]
        rhos["as_tested"].append(partial_rho(x, y))
        rhos["given_mean"].append(partial_rho(x, y, [three.mean(axis=0)]))
        rhos["given_largest"].append(partial_rho(x, y, [three.max(axis=0)]))
        rhos["given_each"].append(partial_rho(x, y, three))
        rhos["less_other_sources"].append(partial_rho(x, y - np.nanmean(others, axis=0)))
    return {
        name: {
            "positive": int((np.array(values) > 0).sum()),
            "mean": float(np.mean(values)),
            "lowest": min(values),
            "interval": combine_correlations(values, (~np.isnan(outcome)).sum(axis=1))["next_source_interval"],
        }
        for name, values in rhos.items()
    }


def post_hoc_recipes():
    """Gain of bystanders at equal strength, lower learning rate less first recipe; own gain at the first snapshot over its highest."""
    rows = pd.read_csv(ALONG / "recipes.csv")
    gains = rows[rows["of_common_gain"] == 1].pivot(index="recipe", columns="source", values="mean_gain")
    own = [pd.read_csv(ALONG / name / "along_training.csv").groupby("source")["own_gain"] for name in gains.index]
    shares = pd.concat([group.first() / group.max() for group in own])
    return {
        "slow_less_first": (gains.loc["along_slow"] - gains.loc["along_training"]).to_dict(),
        "own_gain_at_first_snapshot": [float(shares.min()), float(shares.max())],
    }


def test_post_hoc_numbers_are_recomputed():
    """From the kept pairs, the study's cosines and the tables of recipes."""
    table, levels = read_pairs(SOURCES / "pairs_block21.csv"), pd.read_csv(SOURCES / "new_sources.csv")
    sources, personas = list(table["source"].unique()), sorted({*table["persona"], *table["source"]})
    arrays = spread(table, sources, personas, SOURCES, ("cosine", "logprob_gain", "rate"))
    closeness, gain = arrays["cosine"], arrays["logprob_gain"]
    cosines = all_cosines(RESULTS / "smollm2_study" / SEED / "cosines.csv", 21, personas)
    negatives = table[table["negative"]].groupby("source")["persona"].apply(list)
    assert {*negatives.map(len)} == {3} and negatives.explode().nunique() == 6
    near = np.stack([cosines[[personas.index(name) for name in negatives[source]]] for source in sources])
    below = {}
    for name, used in (("closeness", True), ("none", False)):
        _, low, high = hold_out_bystanders(closeness, gain, used)
        below[name] = int((((low <= gain) & (gain <= high)).sum(axis=1) < 0.7 * (~np.isnan(gain)).sum(axis=1)).sum())
    levels = levels[levels["outcome"] == "logprob_gain"].set_index("source")
    others = levels.drop(index="french_person")
    without = describe_levels(others["level"].to_numpy(), {"cosine_raw": others["cosine_raw"].to_numpy()})
    found = {
        "correlations": {name: post_hoc_correlations(closeness, arrays[name], near) for name in ("logprob_gain", "rate")},
        "sources_with_less_than_70_percent_inside": below,
        "french_person": {
            "cosine_raw": float(levels["cosine_raw"]["french_person"]),
            "lowest_other_cosine_raw": float(others["cosine_raw"].min()),
            "r2_without": without["predictors"]["cosine_raw"]["r2"],
        },
        "recipes": post_hoc_recipes(),
    }
    kept = read_json(SOURCES / "post_hoc.json")
    how = kept.pop("how")
    assert how.keys() == kept.keys() == found.keys()
    assert list(differences(found, kept)) == []


def test_recipes_are_reproduced_and_pass_half_of_the_gain_before_the_first_snapshot():
    kept = read_json(ALONG / "recipes.json")
    tables = {name: pd.read_csv(ALONG / name / "along_training.csv") for name in kept["rho_at_half"]}
    found = compare_recipes(tables)
    rows = found.pop("table")
    assert list(tables) == ["along_training", "along_completion", "along_slow"]
    assert list(differences(plain(found), {name: kept[name] for name in found})) == []
    half = rows[rows["of_common_gain"] == 0.5].set_index(["recipe", "source"])["own_gain"]
    for name, table in tables.items():
        first = table.groupby("source").first()["own_gain"]
        assert (first > half[name].reindex(first.index)).all()


def test_the_scores_of_the_frozen_predictions_are_reproduced():
    frozen = read_sealed(NEW / "predictions.json", NEW / "predictions.csv")
    rows = join_measured(pd.read_csv(NEW / "predictions.csv"), read_pairs(NEW / SEED / "pairs.csv"))
    kept = read_json(NEW / "score.json")
    assert len(rows) == 40 and kept["frozen"] == frozen["time"] and frozen["trained_before"] == []
    for score in kept["scores"]:
        found = score_source(rows[rows["source"] == score["source"]])
        assert list(differences(plain(found), {name: score[name] for name in found})) == []
    assert list(differences(plain(calibration_curve(rows)), kept["curve"])) == []


def test_the_page_on_prediction_has_the_scores():
    page = text_of("docs/prediction.md")
    for score, title in zip(read_json(NEW / "score.json")["scores"], ("of the study", "new"), strict=True):
        amounts, cosine = score["amounts"], score["rank_correlation"]["cosine"]
        errors = f"{100 * amounts['error']:.1f} | {100 * amounts['error_of_the_mean']:.1f}"
        inside = f"{amounts['covered']} of {score['personas']}"
        cells = f"{cosine['rho']:+.2f} (p = {cosine['p']:.2g}) | {score['auc']['cosine']:.2f} | {inside} | {errors}"
        assert f"| {score['source']} ({title}) | {cells} |" in page
    table = pd.read_csv(NEW / "score.csv")
    known, new = table[table["source"] == "villain"], table[table["source"] == "smuggler"]
    assert f"prompt length ranks them better ({known['prompt_tokens'].corr(known['rate'], method='spearman'):+.2f})" in page
    villain = read_json(NEW / "score.json")["scores"][0]["auc"]
    assert (
        f"prompt tokens ({villain['prompt_tokens']:.2f}), shared characters ({villain['char_similarity']:.2f}) and "
        f"shared words ({villain['word_similarity']:.2f}) beat the cosine" in page
    )
    assert villain["cosine"] < villain["word_similarity"]
    both = known.merge(new, on="persona", suffixes=("_villain", "_smuggler"))
    shared, across, back = (
        partial_rho(both[x].to_numpy(), both[y].to_numpy())
        for x, y in (("rate_villain", "rate_smuggler"), ("cosine_smuggler", "rate_villain"), ("cosine_villain", "rate_smuggler"))
    )
    own = partial_rho(both["cosine_smuggler"].to_numpy(), both["rate_smuggler"].to_numpy(), [both["rate_villain"].to_numpy()])
    assert f"over {len(both)} common personas, the rates of the two sources correlate at {shared:+.2f}" in page
    assert f"ranks villain's leakage at {across:+.2f}, the cosine to villain ranks smuggler's at {back:+.2f}" in page
    assert f"Given villain's rates, smuggler's own correlation is {own:+.2f}" in page
    [predicted] = new["predicted"].unique()
    told = f"predicted at {100 * predicted:.1f} %; their mean is {100 * new['rate'].mean():.1f} %, and three rates are above"
    assert told in page and (new["rate"] > new["high"]).sum() == 3 and (table["rate"] >= table["low"]).all()
    sources = read_json(NEW / SEED / "correlation.json")["layers"]["21"]["per_source"]
    own = [f"{sources[name]['spearman_rho']:+.2f}" for name in ("villain", "smuggler")]
    assert f"the correlations are {own[0]} and {own[1]}" in page


def test_the_readme_has_the_intervals_for_a_new_source():
    blocks = read_json(SOURCES / "new_sources.json")["outcomes"]
    (low, high), (gain_low, gain_high) = (blocks[name]["correlation"]["interval"] for name in ("rate", "logprob_gain"))
    assert f"it is {low:+.2f} to {high:+.2f}; by the marker's log-probability it is {gain_low:+.2f} to {gain_high:+.2f}" in text_of(
        "README.md"
    )
    positive = blocks["logprob_gain"]["correlation"]["positive"]["sources"]
    assert (
        f"and all {positive} correlations are positive" in text_of("README.md")
        and positive == read_pairs(SOURCES / "pairs_block21.csv")["source"].nunique()
    )
    kept = read_json(SOURCES / "post_hoc.json")["correlations"]
    for name in ("logprob_gain", "rate"):
        ends = [kept[name][f"given_{way}"]["interval"][0] for way in ("mean", "largest", "each")]
        assert max(map(abs, ends)) < 0.05 and min(ends) < 0
    assert "lower end is about 0" in text_of("README.md")


def test_post_hoc_numbers_of_the_larger_model():
    """From the kept tables: refusals of the villain's adapter, negatives, other cosines, the sources' order on both models."""
    kept, home = read_json(RESULTS / "qwen_coder/post_hoc.json"), RESULTS / "qwen_coder" / SEED
    pairs = pd.read_csv(home / "pairs.csv").query("layer == 20")
    counts = pd.read_csv(RESULTS / "qwen_coder/refusals.csv", index_col="persona")
    villain = pairs[pairs["source"] == "villain"].set_index("persona")
    assert (villain["found"] == counts["found"].drop("villain").loc[villain.index]).all()
    own = counts.loc["villain"]
    assert kept["refusals"]["villain_adapter"] == own["refusals"] / own["replies"]
    assert kept["refusals"]["villain_base"] == own["base_refusals"] / own["base_replies"]
    rates = ((counts["found"] - counts["found_in_refusals"]) / (counts["replies"] - counts["refusals"])).loc[villain.index]
    assert kept["refusals"]["rho_without"] == pytest.approx(partial_rho(villain["cosine"], rates))
    negatives = pairs[pairs["negative"]].groupby("source")["persona"].apply(sorted).to_dict()
    assert kept["negatives"] == negatives
    assert [source for source, names in negatives.items() if {"comedian", "villain"} & {*names}] == ["kindergarten_teacher"]
    for name, rho in kept["other_cosines"].items():
        assert rho == pytest.approx(np.mean([partial_rho(rows[name], rows["logprob_gain"]) for _, rows in pairs.groupby("source")]))
    results = [read_json(folder / "correlation.json") for folder in (home, RESULTS / "smollm2_study" / SEED)]
    rhos = [gain_rhos(result, layer) for result, layer in zip(results, ("20", "21"), strict=True)]
    assert kept["order_of_sources"] == pytest.approx(partial_rho(*rhos))


def gain_rhos(result, layer):
    """Each source's correlation by the gain, in the order of the published study."""
    found = result["outcomes"]["logprob_gain"]["layers"][layer]["per_source"]
    return [found[name]["spearman_rho"] for name in ("villain", "comedian", "assistant", "software_engineer", "kindergarten_teacher")]


def test_post_hoc_accuracies_of_the_larger_model():
    """Lost and gained items make the drop; the answer of the rule is that of the evaluation's summary."""
    for source, block in read_json(RESULTS / "qwen_coder/post_hoc.json")["text"].items():
        assert block["drop"] == pytest.approx((block["lost"] - block["gained"]) / block["items"])
        assert block["interval"][0] < block["drop"] < block["interval"][1]
        if source == "software_engineer":
            p = stats.binomtest(block["lost"], block["lost"] + block["gained"]).pvalue
            assert f"McNemar test gives p = {p:.2f}" in text_of("docs/results/qwen_coder.md")
        summary = read_json(RESULTS / f"qwen_coder_wrong_answers/evaluation/evaluation/{source}/seed42/summary.json")
        assert block["said"] == summary["loss"]["said"]
