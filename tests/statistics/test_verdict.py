"""The verdict follows from the numbers: each rule on both sides of its border."""

import copy

import pytest

from persona_leakage.statistics.leakage.conclusions import draw_conclusions
from persona_leakage.statistics.leakage.summary import analyse
from persona_leakage.statistics.validation.simulation import SCENARIOS
from tests.support.synthetic import make_tables

OPTIONS = {"min_category_size": 5, "permutations": 199, "bootstraps": 200}


@pytest.fixture(scope="module")
def result():
    return analyse(make_tables(SCENARIOS["pair effect"])["pairs"], 0, OPTIONS)


def permuted_source_z(name):
    return f"layer.chance.permuted_sources.{name}.z"


def set_path(result, path, value):
    """Set a value by a dotted path; "*" goes to every child, "layer" to the headline layer."""
    blocks = [result]
    *steps, last = path.replace("layer.", "layers.0.").split(".")
    for step in steps:
        blocks = [child for block in blocks for child in (block.values() if step == "*" else [block[step]])]
    for block in blocks:
        block[last] = value


ASSOCIATION = ("association", "holm.association.p_holm", "layer.within_source.interval", "layer.chance.association.z")
PAIRS = ("pair_specific", "holm.pair_specific.p_holm", "layer.double_centred.clear_of_floor.interval", "layer.chance.pair_specific.z")
BASELINES = (
    "beyond_baselines",
    "holm.beyond_baselines.p_holm",
    "layer.baseline_predictors.partial_linear.interval",
    "layer.baseline_predictors.partial_linear.mean_rho",
)
OVER_SOURCES = {
    "association": "layer.within_source.interval_over_sources",
    "pair_specific": "layer.double_centred.clear_of_floor.interval_over_sources",
    "beyond_baselines": "layer.baseline_predictors.partial_linear.interval_over_sources",
}
GAIN = permuted_source_z("pair_specific_gain_adjusted")
OVER = {1: [0.01, 0.9], -1: [-0.9, -0.01]}
PAIRS_FOUND = {"holm.pair_specific.p_holm": 0.01}  # which beyond_baselines asks for
OF_PAIRS = ("layer.double_centred.clear_of_floor.r", "layer.double_centred.clear_of_floor.gain_adjusted_r")
EFFECTS = [
    (
        name,
        {**PAIRS_FOUND, p: p_value, interval: ends, z: sign, permuted_source_z(name): sign, GAIN: sign, OVER_SOURCES[name]: OVER[sign]}
        | dict.fromkeys(OF_PAIRS, 0.3 * sign),
        answer,
    )
    for name, p, interval, z in (ASSOCIATION, PAIRS, BASELINES)
    for p_value, ends, sign, answer in (
        (0.049, [0.01, 0.2], 1, "supported"),
        (0.051, [0.01, 0.5], 1, "cannot tell"),
        (0.049, [-0.01, 0.5], 1, "cannot tell"),
        (0.049, [0.01, 0.5], -1, "cannot tell"),
        (0.5, [-0.1, 0.29], 1, "cannot tell"),
        (0.001, [-0.6, -0.2], -1, "reversed"),
        (None, [0.1, 0.5], 1, "cannot tell"),
        (0.01, None, 1, "cannot tell"),
    )
]
NONE_ABOVE = {"leakage.*.bystanders_above_source": 0, "leakage.*.bystanders_clearly_above": 0}
SUPPORTED = {
    name: {**PAIRS_FOUND, p: 0.001, interval: [0.2, 0.5], z: 1, permuted_source_z(name): 1, GAIN: 1, OVER_SOURCES[name]: [0.1, 0.6]}
    for name, p, interval, z in (ASSOCIATION, PAIRS, BASELINES)
}
CASES = [
    *EFFECTS,
    *((name, changes, "supported") for name, changes in SUPPORTED.items()),
    *((name, {**changes, permuted_source_z(name): -1}, "cannot tell") for name, changes in SUPPORTED.items()),
    *((name, {**changes, OVER_SOURCES[name]: [-0.01, 0.6]}, "cannot tell") for name, changes in SUPPORTED.items()),
    *((name, {**changes, OVER_SOURCES[name]: None}, "cannot tell") for name, changes in SUPPORTED.items()),
    ("association", {**SUPPORTED["association"], "layer.within_source.n_sources": 4, OVER_SOURCES["association"]: None}, "supported"),
    ("pair_specific", {**SUPPORTED["pair_specific"], "layer.double_centred.clear_of_floor.gain_adjusted_r": -0.01}, "cannot tell"),
    ("pair_specific", {**SUPPORTED["pair_specific"], permuted_source_z("pair_specific_gain_adjusted"): -5}, "cannot tell"),
    *(
        (name, {**changes, interval: [-0.1, 0.29], OVER_SOURCES[name]: [-0.2, end]}, answer)
        for (name, changes), interval in zip(SUPPORTED.items(), (ASSOCIATION[2], PAIRS[2], BASELINES[2]), strict=True)
        for end, answer in ((0.29, "not supported"), (0.31, "cannot tell"))
    ),
    ("beyond_baselines", {**SUPPORTED["beyond_baselines"], "holm.pair_specific.p_holm": 0.06}, "cannot tell"),
    ("beyond_baselines", {**SUPPORTED["beyond_baselines"], "layer.double_centred.clear_of_floor.r": -0.5}, "cannot tell"),
    ("source_identity", {"holm.source_identity.p_holm": 0.04}, "supported"),
    ("source_identity", {"holm.source_identity.p_holm": 0.06}, "cannot tell"),
    ("source_identity", {"holm.source_identity.p_holm": 0.9, "layer.chance.source_identity.z": -0.1}, "not supported"),
    ("source_identity", {"holm.source_identity.p_holm": None, "layer.chance.source_identity.undefined": "too few"}, "cannot tell"),
    ("new_sources", {"layer.meta_analysis.next_source_interval": [0.01, 0.9]}, "supported"),
    ("new_sources", {"layer.meta_analysis.next_source_interval": [-0.01, 0.9]}, "not supported"),
    ("new_sources", {"layer.meta_analysis.n_sources": 4}, "cannot tell"),
    ("level", {"layer.prediction.leave_one_source_out.median_r2_nothing_known": -0.1}, "not supported"),
    (
        "level",
        {
            "layer.prediction.leave_one_source_out.median_r2_nothing_known": 0.3,
            "layer.prediction.leave_one_source_out.per_source.*.r2_nothing_known": 0.26,
        },
        "supported",
    ),
    (
        "level",
        {
            "layer.prediction.leave_one_source_out.median_r2_nothing_known": 0.2,
            "layer.prediction.leave_one_source_out.per_source.*.r2_nothing_known": 0.26,
            "layer.prediction.leave_one_source_out.per_source.source1.r2_nothing_known": 0.24,
        },
        "cannot tell",
    ),
    ("measurement", {"noise_ceiling.*.samples.ceiling": 0.9}, "supported"),
    ("measurement", {"noise_ceiling.*.samples.ceiling": 0.9, "noise_ceiling.source2.samples.ceiling": 0.89}, "cannot tell"),
    ("measurement", {"noise_ceiling.*.samples.ceiling": 0.9, "noise_ceiling.source2.samples.ceiling": None}, "cannot tell"),
    ("measurement", {"noise_ceiling.*.samples.ceiling": 0.9, "noise_ceiling.source2.samples.ceiling": 0.69}, "not supported"),
    ("source_leads", NONE_ABOVE, "supported"),
    ("source_leads", {**NONE_ABOVE, "leakage.source1.source_rate": 0.0}, "cannot tell"),
    ("source_leads", {**NONE_ABOVE, "leakage.source1.bystanders_above_source": 1}, "cannot tell"),
    ("source_leads", {**NONE_ABOVE, "leakage.source1.bystanders_clearly_above": 1}, "not supported"),
    ("source_leads", {**NONE_ABOVE, "leakage.source1.no_comparison": "a bystander's rate is missing"}, "cannot tell"),
]


@pytest.mark.parametrize(("name", "changes", "answer"), CASES, ids=[f"{name}, {answer}" for name, _, answer in CASES])
def test_rules(result, name, changes, answer):
    result = copy.deepcopy(result)
    for path, value in changes.items():
        set_path(result, path, value)
    entry = next(entry for entry in draw_conclusions(result) if entry["id"] == name)
    assert entry["answer"] == answer, entry
    assert (answer == "reversed") == entry["sentence"].endswith("leak less.")


@pytest.mark.parametrize(
    ("changes", "answer", "said"),
    [
        ({"layer.within_source.n_sources": 2}, "cannot tell", "2 source(s) are too few to support it: 3 are the least"),
        ({"layer.within_source.n_sources": 3}, "supported", ", for these 3 sources."),
        ({ASSOCIATION[2]: [0.03, 0.13]}, "supported", "below 0.3, the smallest that would matter"),
    ],
)
def test_few_sources_and_small_effects_are_said(result, changes, answer, said):
    result = copy.deepcopy(result)
    for path, value in {**SUPPORTED["association"], **changes}.items():
        set_path(result, path, value)
    entry = draw_conclusions(result)[0]
    assert entry["answer"] == answer and said in entry["sentence"] + entry["because"]


def test_a_table_without_other_cosines_says_how_coarse_its_test_is(result):
    """Five sources have 119 other orders; relabelling alone supports nothing."""
    assert result["permuted_sources"] == {"kind": "the other sources", "undefined": None}
    assert "only 119 other orders of the sources, so p is 0.0083 at the least; cosines between" in draw_conclusions(result)[0]["because"]
    result = copy.deepcopy(result)
    for name in ("p", "p_holm", "p_permuted_sources"):
        set_path(result, f"holm.association.{name}", None)
    set_path(result, "layer.chance.permuted_sources.association.undefined", "nothing can replace it")
    entry = draw_conclusions(result)[0]
    assert entry["answer"] == "cannot tell" and "without a permuted-source test (nothing can replace it)" in entry["because"]


def test_sentences_name_the_baselines_that_were_there(result):
    entry = next(entry for entry in result["verdict"] if entry["id"] == "beyond_baselines")
    assert "prompt length, similar wording and how much a bystander leaks under other sources" in entry["sentence"]
    bare = make_tables(SCENARIOS["pair effect"])["pairs"].drop(columns=["prompt_tokens", "word_similarity"])
    entry = next(entry for entry in analyse(bare, 0, OPTIONS)["verdict"] if entry["id"] == "beyond_baselines")
    assert "how much a bystander leaks under other sources" in entry["sentence"]
    assert "prompt" not in entry["sentence"] and "wording" not in entry["sentence"]
