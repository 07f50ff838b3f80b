"""What the data support, in plain sentences that follow from the numbers by fixed rules."""

import numpy as np

from persona_leakage.training_check import NONE_LEARNED, none_learned, unlearned_sources

SUPPORTED, NOT_SUPPORTED, CANNOT_TELL, REVERSED = "supported", "not supported", "cannot tell", "the reverse"
LEVEL = 0.05  # of Holm-adjusted p-values
SMALLEST = 0.3  # the smallest correlation that would matter; an interval wholly below it counts against an effect
GOOD_CEILING, POOR_CEILING = 0.9, 0.7
GOOD_R2 = 0.25  # of every source, for a level that counts as predicted
RIVALS = {
    "prompt_tokens": "prompt length",
    "word_similarity": "similar wording",
    "char_similarity": "similar wording",
    "embedding_similarity": "similar meaning",
    "propensity": "how much a bystander leaks under other sources",
}
MIN_SOURCES = 5  # for anything said about sources that were not measured


def verdict(result):
    """The verdict block: a list of {"id", "question", "answer", "sentence", "because"} from a finished correlation.json.

    Judged at the headline layer, over the sources whose adapters learned the marker. Rules: docs/statistics.md.
    """
    layer = result["layers"][str(result["headline_layer"])]
    judges = (judge_association, judge_pairs, judge_identity, judge_rivals, judge_new_sources, judge_level, judge_measurement, judge_lead)
    verdicts = []
    for judge in judges:
        name, question, sentences, (answer, because) = judge(result, layer)
        if none_learned(result["training_check"]):
            answer, because = CANNOT_TELL, NONE_LEARNED
        sentence = dict(zip((SUPPORTED, NOT_SUPPORTED, CANNOT_TELL, REVERSED), sentences, strict=False))[answer]
        answer = NOT_SUPPORTED if answer == REVERSED else answer
        verdicts.append({"id": name, "question": question, "answer": answer, "sentence": sentence, "because": because})
    return verdicts


def verdict_lines(entries):
    """One line for each entry of the verdict, for a terminal: the answer, and the sentence or, where it is open, the question."""
    return [f"{entry['answer']:>14}: {entry['question'] if entry['answer'] == CANNOT_TELL else entry['sentence']}" for entry in entries]


def judge_effect(result, layer, claim, found):
    """(answer, because) of a correlation that is tested against relabelled bystanders and against stand-ins for the sources.

    claim: its family. found: {"words": what the correlation is, "estimate", "interval", "z": of the relabelling, "sources": how
    many, "over_sources": its interval over sources like these}. Supported takes both tests after Holm's correction, the
    interval above 0 and, from MIN_SOURCES on, that over the sources.
    """
    p, interval, tests = result["holm"][claim], found["interval"], layer["chance"]["stand_ins"]
    words = f"{found['words']} is {number(found['estimate'])}"
    if interval is None:
        return CANNOT_TELL, f"{words}, without a confidence interval"
    if p["p_holm"] is None:
        reason = "a test" if p["p_relabelled"] is None else f"a test against stand-ins for the sources ({tests[claim]['undefined']})"
        return CANNOT_TELL, f"{words}, 95 % interval {span(interval)}, without {reason}"
    because = f"{words}, 95 % interval {span(interval)}; p = {p['p_relabelled']:.2g} with the bystanders relabelled,"
    because += (
        f" {p['p_stand_ins']:.2g} with {result['stand_ins']['kind']} in the sources' place; the larger is {p['p_holm']:.2g} after Holm's"
    )
    because += " correction" + coarse(result["stand_ins"])
    signs = {np.sign(value) for value in (found["z"], tests[claim]["z"])}
    if p["p_holm"] < LEVEL and interval[0] > 0 and signs == {1.0}:
        if found["sources"] >= MIN_SOURCES and not (found["over_sources"] and found["over_sources"][0] > 0):
            return CANNOT_TELL, f"{because}; over sources like these the interval includes 0"
        small = f"; below {SMALLEST}, the smallest that would matter" if interval[1] < SMALLEST else ""
        return SUPPORTED, because + small
    if p["p_holm"] < LEVEL and interval[1] < 0 and signs == {-1.0}:
        return REVERSED, because
    if interval[1] < SMALLEST:
        return NOT_SUPPORTED, f"{because}: the interval rules out {SMALLEST} and more"
    return CANNOT_TELL, f"{because}: neither no effect nor one of {SMALLEST} and more can be ruled out"


def coarse(stand_ins):
    """What to know of a test with few stand-ins: how small its p can be at all."""
    if stand_ins["least_p"] is None or stand_ins["least_p"] < 0.001:
        return ""
    return f" (only {stand_ins['draws']} ways to exchange the sources, so p is {stand_ins['least_p']:.2g} at the least)"


def scope(sources):
    """ " of these 3 sources", where there are too few to speak of others."""
    return f", for these {sources} sources" if sources < MIN_SOURCES else ""


def judge_association(result, layer):
    """Both tests of the mean within-source correlation, layers paid for, and its intervals."""
    block, test = layer["within_source"], layer["chance"]["association"]
    sources = block["n_sources"] or 0
    found = unless(block) or judge_effect(
        result,
        layer,
        "association",
        {
            "words": "the mean within-source rank correlation",
            "estimate": block["mean_rho"],
            "interval": block["interval"],
            "z": test["z"],
            "sources": sources,
            "over_sources": block["interval_over_sources"],
        },
    )
    if test["statistic"] is not None:
        found = found[0], f"{found[1]}, tested over the common bystanders, where it is {number(test['statistic'])}"
        found = found[0], found[1] + without(result["joint"]["sources_left_out"])
    return (
        "association",
        "Do personas that lie closer to the source in the base model leak more?",
        (
            f"Personas closer to the source leak more than closeness to other personas would explain{scope(sources)}.",
            "Closeness to the source does not rank the personas by leakage, upwards, to an extent that would matter.",
            "Whether personas closer to the source leak more is open.",
            f"Personas closer to the source leak less{scope(sources)}.",
        ),
        found,
    )


def judge_pairs(result, layer):
    """Double-centred correlation: what every source and every bystander has in general is taken out, also where sources differ in gain."""
    block, z = layer["double_centred"]["clear_of_floor"], layer["chance"]["pair_specific"]["z"]
    sources = len(block["sources"] or ())
    found = unless(block) or judge_effect(
        result,
        layer,
        "pair_specific",
        {
            "words": "the double-centred correlation of the sources clear of the floor",
            "estimate": block["r"],
            "interval": block["interval"],
            "z": z,
            "sources": sources,
            "over_sources": block["interval_over_sources"],
        },
    )
    if found[0] == SUPPORTED and not (block["gain_adjusted_r"] or 0) > 0:
        found = CANNOT_TELL, f"{found[1]}; but it is {number(block['gain_adjusted_r'])} once sources may differ in gain"
    return (
        "pair_specific",
        "Does it depend on the pair, beyond some bystanders leaking more and some sources spreading more in general?",
        (
            f"Which source reaches which bystander follows their closeness, apart from what either does in general{scope(sources)}.",
            "Apart from what sources and bystanders do in general, closeness of the pair says next to nothing.",
            "Whether closeness of the pair matters apart from what sources and bystanders do in general is open.",
            f"Apart from what sources and bystanders do in general, closer pairs leak less{scope(sources)}.",
        ),
        found,
    )


def judge_identity(result, layer):
    """Source identity test, and the ranks of the true sources among the pseudo-sources."""
    test = layer["chance"]["source_identity"]
    p = p_of(result, "source_identity")
    if p is None:
        found = CANNOT_TELL, test["undefined"]
    else:
        ranks = layer["specificity"]["ranks"]
        places = ", ".join(f"{name} {block['rank']}" for name, block in ranks.items() if block["rank"] is not None)
        size = max((block["out_of"] for block in ranks.values() if block["out_of"] is not None), default=0)
        because = f"own cosines give {number(test['statistic'])} on average, other personas' {number(test['null_mean'])}"
        because += f"; p = {p:.2g} after Holm's correction"
        because += f"; rank of the true source among {size} as predictors of its leakage: {places}" if places else ""
        found = (SUPPORTED if p < LEVEL and test["z"] > 0 else NOT_SUPPORTED if test["z"] <= 0 else CANNOT_TELL), because
    return (
        "source_identity",
        "Is it closeness to the source itself that counts, not to any persona?",
        (
            "Closeness to the source itself predicts its leakage better than closeness to other personas does.",
            "Closeness to other personas predicts a source's leakage as well as closeness to the source.",
            "Whether closeness to the source itself predicts better than closeness to other personas is open.",
        ),
        found,
    )


def judge_rivals(result, layer):
    """Partial correlation of cosine with log-odds given all rivals but the uncentred cosine; and the pair-specific test.

    Both, because the measured proneness of a bystander is noisy: what it leaves of a general effect looks like the cosine's.
    """
    block = layer["rivals"]["partial_linear"]
    sources = len(block["per_source"] or ())
    found = unless(block) or judge_effect(
        result,
        layer,
        "beyond_rivals",
        {
            "words": "the partial correlation of closeness with the log-odds of leakage",
            "estimate": block["mean_rho"],
            "interval": block["interval"],
            "z": block["mean_rho"],
            "sources": sources,
            "over_sources": block["interval_over_sources"],
        },
    )
    p = p_of(result, "pair_specific")
    if found[0] == SUPPORTED and (p is None or p >= LEVEL):
        found = CANNOT_TELL, f"{found[1]}; but the pair-specific test does not support it, so noise in the other numbers may explain it"
    known = join(dict.fromkeys(RIVALS[name] for name in block["controls"] or ())) or "simpler predictors"
    return (
        "beyond_rivals",
        "Does closeness add to what simpler things about a persona and its prompt say?",
        (
            f"Closeness adds to what can be said of leakage from {known}{scope(sources)}.",
            f"Once {known} {'are' if ' and ' in known else 'is'} known, closeness adds next to nothing.",
            f"Whether closeness adds anything to {known} is open.",
            f"Once {known} {'are' if ' and ' in known else 'is'} known, closer personas leak less.",
        ),
        found,
    )


def judge_new_sources(result, layer):
    """The interval for one more source."""
    block = layer["meta_analysis"]
    found = unless(block)
    if not found and (block["n_sources"] < MIN_SOURCES or block["next_source_interval"] is None):
        found = CANNOT_TELL, f"{block['n_sources']} sources; {MIN_SOURCES} are the least from which to speak about others"
    if not found:
        because = (
            f"a new source's correlation is expected in {span(block['next_source_interval'])} (95 %, from {block['n_sources']} sources)"
        )
        low, high = block["next_source_interval"]
        found = (SUPPORTED if low > 0 else REVERSED if high < 0 else NOT_SUPPORTED), because
    return (
        "new_sources",
        "Is a source that was not measured expected to show it too?",
        (
            "A new source of this kind is expected to show a positive correlation.",
            "A new source may well show no correlation.",
            "What a new source would show is open.",
            "A new source of this kind is expected to show a negative correlation.",
        ),
        found,
    )


def judge_level(result, layer):
    """R2 of leave-one-source-out prediction with nothing known of the new source."""
    block = layer["prediction"]["leave_one_source_out"]
    found = unless(block)
    if not found:
        values = {name: scores["r2_nothing_known"] for name, scores in block["per_source"].items()}
        because = "R2 of each source predicted from the others: " + ", ".join(f"{name} {value:.2f}" for name, value in values.items())
        because += f"; {block['median_r2_source_mean_known']:.2f} in the median once the source's mean is known"
        if len(values) < MIN_SOURCES:
            found = CANNOT_TELL, f"{because}; {len(values)} sources, {MIN_SOURCES} are the least from which to speak about others"
        elif block["median_r2_nothing_known"] <= 0:
            found = NOT_SUPPORTED, because
        else:
            found = (SUPPORTED if min(values.values()) >= GOOD_R2 else CANNOT_TELL), because
    return (
        "level",
        "Can the level of leakage of a new source be told before training?",
        (
            "The geometry predicts how much a new source leaks to each persona.",
            "The geometry does not predict how much a new source leaks; at best it ranks the personas.",
            "Whether the geometry predicts how much a new source leaks is open.",
        ),
        found,
    )


def judge_measurement(result, layer):
    """Noise ceilings from halves of the questions, else of the samples."""
    ceilings = {}
    for name, block in of_learned(result, "noise_ceiling").items():
        ceilings[name] = next((block[kind]["ceiling"] for kind in ("questions", "samples") if block[kind]["ceiling"] is not None), None)
    because = "ceiling of any correlation: " + ", ".join(f"{name} {number(value)}" for name, value in ceilings.items())
    because += without(unlearned_sources(result["training_check"]))
    known = [value for value in ceilings.values() if value is not None]
    if known and min(known) < POOR_CEILING:
        found = NOT_SUPPORTED, because
    elif known and len(known) == len(ceilings) and min(known) >= GOOD_CEILING:
        found = SUPPORTED, because
    else:
        found = CANNOT_TELL, because
    return (
        "measurement",
        "Is leakage measured well enough to be predicted?",
        (
            "Leakage is measured so well that noise hides little of a correlation.",
            "Leakage of a source is measured too coarsely: more replies would raise its correlation.",
            "Noise of measurement may hide part of a correlation.",
        ),
        found,
    )


def judge_lead(result, layer):
    """Bystanders above the source itself, and those that chance does not explain."""
    blocks = of_learned(result, "leakage")
    problem = next((f"{name}: {block['no_comparison']}" for name, block in blocks.items() if block["no_comparison"]), None)
    if problem:
        found = CANNOT_TELL, problem
    else:
        counts = [f"{name} {block['bystanders_above_source']} of {block['n']}" for name, block in blocks.items()]
        clear = sum(block["bystanders_clearly_above"] for block in blocks.values())
        because = f"bystanders above the source: {', '.join(counts)}; {clear} of them beyond chance (Fisher's exact test, Holm)"
        because += without(unlearned_sources(result["training_check"]))
        shown = all(block["source_rate"] > 0 for block in blocks.values())
        none = not any(block["bystanders_above_source"] for block in blocks.values())
        found = (NOT_SUPPORTED if clear else SUPPORTED if none and shown else CANNOT_TELL), because
    return (
        "source_leads",
        "Does the trained source show the behaviour most?",
        (
            "No bystander shows the behaviour more often than the source it was trained into.",
            "Some bystanders show the behaviour more often than the source it was trained into.",
            "Whether bystanders exceed the source is open.",
        ),
        found,
    )


def of_learned(result, key):
    """The blocks {source: block} under ``key``, but for sources whose adapters did not learn the marker."""
    left_out = unlearned_sources(result["training_check"])
    return {name: block for name, block in result[key].items() if name not in left_out}


def without(left_out):
    """ "; without villain (why)" for each of {source: why}."""
    return "".join(f"; without {name} ({reason})" for name, reason in left_out.items())


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


def number(value):
    """Two decimals, or "unknown"."""
    return "unknown" if value is None else f"{value:.2f}"


def span(interval):
    """ "0.63 to 0.84"."""
    return f"{interval[0]:.2f} to {interval[1]:.2f}"
