"""Answers to the main claims, their significance levels, and the number format of their sentences."""

import numpy as np

from persona_leakage.statistics.leakage.outcomes import LOGPROB_GAIN, MEAN_SCORE, RATE

SUPPORTED, NOT_SUPPORTED, CANNOT_TELL, REVERSED = "supported", "not supported", "cannot tell", "reversed"
LEVEL = 0.05  # of Holm-adjusted p-values
MIN_SOURCES = 5  # for any conclusion about sources that were not measured
LEAST_SOURCES = 3  # for a claim about the measured sources: which of them are usable depends on their leakage


def unless(block):
    """(cannot tell, why) if a block is undefined, else None."""
    return (CANNOT_TELL, block["undefined"]) if block["undefined"] else None


def p_of(result, family):
    """Holm-adjusted p of a family of tests at the headline layer, or None."""
    return result["holm"][family]["p_holm"]


def join(words):
    """ "a", "a and b", "a, b and c"."""
    *most, last = words or [""]
    return f"{', '.join(most)} and {last}" if most else last


def too_few(sources):
    """ "; 2 sources are too few to support it: 3 are the least", or None."""
    return f"; {sources} source(s) are too few to support it: {LEAST_SOURCES} are the least" if sources < LEAST_SOURCES else None


def number(value):
    """Two decimals, or "unknown"."""
    return "unknown" if value is None else f"{value:.2f}"


def interval_text(interval):
    """ "0.63 to 0.84"."""
    return f"{interval[0]:.2f} to {interval[1]:.2f}"


def without(left_out):
    """ "; without villain (why)" for each of {source: why}."""
    return "".join(f"; without {name} ({reason})" for name, reason in left_out.items())


SMALLEST = 0.3  # the smallest correlation that would matter; an interval wholly below it counts against an effect
# The tests against permuted sources (permuted_sources.py) that a claim must pass too: its p is the largest of all tests.
CLAIMS = {
    "association": ("association",),
    "pair_specific": ("pair_specific", "pair_specific_gain_adjusted"),
    "beyond_baselines": ("beyond_baselines",),
}
SIGNS = {SUPPORTED: 1, REVERSED: -1}
LEAKAGE_WORDS = {RATE: "the log-odds of leakage", MEAN_SCORE: "the change of the mean score", LOGPROB_GAIN: "the gain in log-probability"}
BASELINES = {
    "prompt_tokens": "prompt length",
    "base_reply_tokens": "reply length",
    "length_similarity": "similar reply length",
    "word_similarity": "similar wording",
    "char_similarity": "similar wording",
    "embedding_similarity": "similar meaning",
    "output_similarity_source_replies": "similar next-token predictions",
    "output_similarity_bystander_replies": "similar next-token predictions",
    "base_outcome": "how much a bystander shows the behaviour without training",
    "mean_leakage_other_sources": "how much a bystander leaks under other sources",
}


def conclude_effect(result, layer, claim, words, block, estimate, z, sources):
    """(answer, because) of a correlation that is tested against relabelled bystanders and against permuted sources.

    claim: its family. words: what the correlation is. block: with its interval, and that over sources like these. z: of the relabelling.
    sources: how many. Supported takes both tests after Holm's correction, the interval above 0, LEAST_SOURCES sources and, from
    MIN_SOURCES on, the interval over the sources above 0; reversed the same, below 0.
    """
    if block["undefined"]:
        return CANNOT_TELL, block["undefined"]
    p, interval, tests = result["holm"][claim], block["interval"], [layer["chance"]["permuted_sources"][name] for name in CLAIMS[claim]]
    words = f"{words} is {number(estimate)}"
    if interval is None:
        return CANNOT_TELL, f"{words}, without a confidence interval"
    if p["p_holm"] is None:
        missing = next((test["undefined"] for test in tests if test["undefined"]), None)
        reason = f"a permuted-source test ({missing})" if missing else "a test"
        return CANNOT_TELL, f"{words}, 95 % interval {interval_text(interval)}, without {reason}"
    because = f"{words}, 95 % interval {interval_text(interval)}; p = {p['p_relabelled']:.2g} with the bystanders relabelled,"
    because += f" {p['p_permuted_sources']:.2g} with {result['permuted_sources']['kind']} in the sources' place;"
    because += f" the larger is {p['p_holm']:.2g} after Holm's correction{coarse(max(tests, key=lambda test: test['least_p']))}"
    signs, few = {np.sign(value) for value in (z, *(test["z"] for test in tests))}, too_few(sources)
    # Over sources like these, from MIN_SOURCES on (unknown: no bounds); of fewer sources the interval of these.
    low, high = interval if sources < MIN_SOURCES else block["interval_over_sources"] or [-1.0, 1.0]
    if p["p_holm"] < LEVEL and interval[0] > 0 and signs == {1.0}:
        if few:
            return CANNOT_TELL, because + few
        if not low > 0:
            return CANNOT_TELL, f"{because}; over sources like these the interval includes 0"
        small = f"; below {SMALLEST}, the smallest that would matter" if interval[1] < SMALLEST else ""
        return SUPPORTED, because + small
    if p["p_holm"] < LEVEL and interval[1] < 0 and high < 0 and signs == {-1.0} and not few:
        return REVERSED, because
    if interval[1] < SMALLEST and high < SMALLEST:
        return NOT_SUPPORTED, f"{because}: the interval rules out {SMALLEST} and more"
    return CANNOT_TELL, f"{because}: neither no effect nor one of {SMALLEST} and more can be ruled out"


def coarse(test):
    """A note on a test with few permuted sources: the smallest p that it allows."""
    if test["least_p"] < 0.001:
        return ""
    return (
        f" (only {test['draws']} other orders of the sources, so p is {test['least_p']:.2g} at the least;"
        " cosines between all personas, cosines.csv, would allow more)"
    )


def scope(sources):
    """ " of these 3 sources", where there are too few to speak of others."""
    return f", for these {sources} sources" if sources < MIN_SOURCES else ""


def conclude_association(result, layer):
    """Both tests of the mean within-source correlation, corrected for testing every layer, and its intervals."""
    block, test = layer["within_source"], layer["chance"]["association"]
    sources = block["n_sources"] or 0
    words = "the mean within-source rank correlation"
    found = conclude_effect(result, layer, "association", words, block, block["mean_rho"], test["z"], sources)
    if test["statistic"] is not None:
        said = f"{found[1]}, tested over the common bystanders, where it is {number(test['statistic'])}"
        found = found[0], said + without(result["joint"]["sources_left_out"])
    return *found, {"scope": scope(sources)}


def conclude_pairs(result, layer):
    """Double-centred correlation: source and bystander means are removed, also if sources differ in gain."""
    block, z = layer["double_centred"]["clear_of_floor"], layer["chance"]["pair_specific"]["z"]
    sources = len(block["sources"] or ())
    words = "the double-centred correlation of the sources clear of the floor"
    found = conclude_effect(result, layer, "pair_specific", words, block, block["r"], z, sources)
    if found[0] in SIGNS and not SIGNS[found[0]] * (block["gain_adjusted_r"] or 0) > 0:
        found = CANNOT_TELL, f"{found[1]}; but it is {number(block['gain_adjusted_r'])} once sources may differ in gain"
    return *found, {"scope": scope(sources)}


def conclude_baselines(result, layer):
    """Partial correlation of cosine with log-odds given all baselines but other cosines of the same geometry; and the pair-specific test.

    Both are needed: a bystander's measured leakage is noisy, and the rest of a general effect can look like an effect of the cosine.
    """
    block = layer["baseline_predictors"]["partial_linear"]
    sources = len(block["per_source"] or ())
    words = f"the partial correlation of closeness with {LEAKAGE_WORDS[result['outcome']]}"
    found = conclude_effect(result, layer, "beyond_baselines", words, block, block["mean_rho"], block["mean_rho"], sources)
    p, pairs = p_of(result, "pair_specific"), layer["double_centred"]["clear_of_floor"]["r"]
    if found[0] in SIGNS and (p is None or p >= LEVEL or not SIGNS[found[0]] * (pairs or 0) > 0):
        found = CANNOT_TELL, f"{found[1]}; but the pair-specific test does not support it, so noise in the other numbers may explain it"
    known = join(dict.fromkeys(BASELINES[name] for name in block["controls"] or ())) or "simpler predictors"
    return *found, {"scope": scope(sources), "known": known, "are": "are" if " and " in known else "is"}
