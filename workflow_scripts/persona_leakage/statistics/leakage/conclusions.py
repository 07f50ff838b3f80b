"""The verdict: plain sentences that follow from the numbers by fixed rules."""

from persona_leakage.behaviours.training_check import NONE_LEARNED, none_learned, unlearned_sources
from persona_leakage.statistics.leakage.claims import (
    CANNOT_TELL,
    LEVEL,
    MIN_SOURCES,
    NOT_SUPPORTED,
    REVERSED,
    SUPPORTED,
    conclude_association,
    conclude_baselines,
    conclude_pairs,
    interval_text,
    number,
    p_of,
    too_few,
    unless,
    without,
)
from persona_leakage.statistics.leakage.outcomes import LOGPROB_GAIN, RATE

GOOD_CEILING, POOR_CEILING = 0.9, 0.7
GOOD_R2 = 0.25  # of every source, for a level that counts as predicted
EXPLAINED = "explained by where the personas began"
# Claims that are about the plain correlation of closeness with leakage; the others take the base rate out.
PLAIN_CLAIMS = ("association", "new_sources")


def conclude_identity(result, layer):
    """Source identity test, and the ranks of the true sources among the permuted sources."""
    test = layer["chance"]["source_identity"]
    p = p_of(result, "source_identity")
    if p is None:
        found = CANNOT_TELL, test["undefined"]
    else:
        ranks = layer["specificity"]["ranks"]
        listed = ", ".join(f"{name} {block['rank']}" for name, block in ranks.items() if block["rank"] is not None)
        size = max((block["out_of"] for block in ranks.values() if block["out_of"] is not None), default=0)
        because = f"own cosines give {number(test['statistic'])} on average, other personas' {number(test['null_mean'])}"
        because += f"; p = {p:.2g} after Holm's correction"
        because += f"; rank of the true source among {size} as predictors of its leakage: {listed}" if listed else ""
        few, shown = too_few(len(result["joint"]["sources"])), p < LEVEL and test["z"] > 0
        answer = NOT_SUPPORTED if test["z"] <= 0 else SUPPORTED if shown and not few else CANNOT_TELL
        found = answer, because + few if shown and few else because
    return found


def conclude_new_sources(result, layer):
    """The interval for one more source."""
    block = layer["meta_analysis"]
    found = unless(block)
    if not found and block["n_sources"] < MIN_SOURCES:
        found = CANNOT_TELL, f"{block['n_sources']} sources; {MIN_SOURCES} are the least from which to speak about others"
    if not found:
        interval = interval_text(block["next_source_interval"])
        because = f"a new source's correlation is expected in {interval} (95 %, from {block['n_sources']} sources)"
        low, high = block["next_source_interval"]
        found = (SUPPORTED if low > 0 else REVERSED if high < 0 else NOT_SUPPORTED), because
    return found


def conclude_level(result, layer):
    """R2 of leave-one-source-out prediction if nothing is known about the new source."""
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
    return found


def conclude_measurement(result, layer):
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
    return found


def conclude_lead(result, layer):
    """Bystanders above the source, and those that are significantly above it."""
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
    return found


def of_learned(result, key):
    """The blocks {source: block} under ``key``, without sources whose adapters did not learn the behaviour."""
    left_out = unlearned_sources(result["training_check"])
    return {name: block for name, block in result[key].items() if name not in left_out}


def explained_by_base(name, layer):
    """Why a claim on the plain correlation cannot be told (see base_confound.is_explained), or None."""
    block = layer.get("base_confound")
    if name not in PLAIN_CLAIMS or block is None or not block["explained"]:
        return None
    return f"{EXPLAINED}: {both_correlations(layer)}"


def both_correlations(layer):
    """The mean correlation, plain and given the base rate, with intervals."""
    plain, partial = layer["within_source"], layer["base_confound"]["partial"]
    words = f"the mean rank correlation of closeness and leakage is {estimate(plain)}, "
    if partial["undefined"]:
        return f"{words}and {partial['undefined']}"
    return f"{words}among personas that began alike (partial correlation) {estimate(partial)}"


def estimate(block):
    """ "0.41, 95 % interval 0.20 to 0.58"."""
    interval = f"95 % interval {interval_text(block['interval'])}" if block["interval"] else "without a confidence interval"
    return f"{number(block['mean_rho'])}, {interval}"


def conclude_base_confound(result, layer):
    """Plain and partial correlation given the base rate, see base_confound.py.

    A partial correlation of the other sign also counts as not supported: noise of the base rates leaves one behind where training
    takes personas only a part of the way to one level.
    """
    block, plain = layer["base_confound"], layer["within_source"]["interval"]
    found = unless(block)
    if not found:
        because = both_correlations(layer)
        if block["explained"] is None:
            found = CANNOT_TELL, because
        elif not block["explained"]:
            apart = plain[0] > 0 or plain[1] < 0
            found = (SUPPORTED, because) if apart else (CANNOT_TELL, f"{because}: there is no clear association to explain")
        else:
            found = NOT_SUPPORTED, because
    return found


def conclude_even_spread(result, layer):
    """The test of any difference between bystanders after training, of each source that learned."""
    tested = {source: block for source, block in result["even_spread"].items() if block["p_holm"] is not None}
    because = ", ".join(f"{source} p = {block['p_holm']:.2g}" for source, block in tested.items())
    because += " after Holm's correction (standard deviation of the bystanders with adapter, and by chance: "
    because += ", ".join(f"{source} {block['sd']:.3f}, {block['sd_by_chance']:.3f}" for source, block in tested.items()) + ")"
    even = [source for source, block in tested.items() if block["even"]]
    if not tested:
        found = CANNOT_TELL, "; ".join(f"{source}: {block['undefined']}" for source, block in result["even_spread"].items())
    elif not even:
        found = SUPPORTED, because
    else:
        found = (NOT_SUPPORTED if len(even) == len(tested) else CANNOT_TELL), f"{because}; spreads evenly: {', '.join(even)}"
    few = "From some sources the behaviour spreads evenly" if even else "Whether bystanders differ after training is open"
    return *found, {"open": few}


# {id: (rule, question, what is said where it is supported, not supported, open and, of an effect, reversed)}, in the order of the verdict.
ENTRIES = {
    "association": (
        conclude_association,
        "Do personas that lie closer to the source in the base model leak more?",
        "Personas closer to the source leak more than closeness to other personas would explain{scope}.",
        "Closeness to the source does not rank the personas by leakage, upwards, to an extent that would matter{scope}.",
        "Whether personas closer to the source leak more is open.",
        "Personas closer to the source leak less{scope}.",
    ),
    "pair_specific": (
        conclude_pairs,
        "Does it depend on the pair, beyond some bystanders leaking more and some sources spreading more in general?",
        "Which source reaches which bystander follows their closeness, apart from what either does in general{scope}.",
        "Apart from what sources and bystanders do in general, closeness of the pair says next to nothing{scope}.",
        "Whether closeness of the pair matters apart from what sources and bystanders do in general is open.",
        "Apart from what sources and bystanders do in general, closer pairs leak less{scope}.",
    ),
    "source_identity": (
        conclude_identity,
        "Is it closeness to the source itself that counts, not to any persona?",
        "Closeness to the source itself predicts its leakage better than closeness to other personas does.",
        "Closeness to other personas predicts a source's leakage as well as closeness to the source.",
        "Whether closeness to the source itself predicts better than closeness to other personas is open.",
    ),
    "beyond_baselines": (
        conclude_baselines,
        "Does closeness add to what simpler things about a persona and its prompt say?",
        "Closeness adds to what can be said of leakage from {known}{scope}.",
        "Once {known} {are} known, closeness adds next to nothing{scope}.",
        "Whether closeness adds anything to {known} is open.",
        "Once {known} {are} known, closer personas leak less{scope}.",
    ),
    "new_sources": (
        conclude_new_sources,
        "Is a source that was not measured expected to show it too?",
        "A new source of this kind is expected to show a positive correlation.",
        "A new source may well show no correlation.",
        "What a new source would show is open.",
        "A new source of this kind is expected to show a negative correlation.",
    ),
    "level": (
        conclude_level,
        "Can the level of leakage of a new source be told before training?",
        "The geometry predicts how much a new source leaks to each persona.",
        "The geometry does not predict how much a new source leaks; at best it ranks the personas.",
        "Whether the geometry predicts how much a new source leaks is open.",
    ),
    "measurement": (
        conclude_measurement,
        "Is leakage measured well enough to be predicted?",
        "Leakage is measured so well that noise hides little of a correlation.",
        "Leakage of a source is measured too coarsely: more replies would raise its correlation.",
        "Noise of measurement may hide part of a correlation.",
    ),
    "source_leads": (
        conclude_lead,
        "Does the trained source show the behaviour most?",
        "No bystander shows the behaviour more often than the source it was trained into.",
        "Some bystanders show the behaviour more often than the source it was trained into.",
        "Whether bystanders exceed the source is open.",
    ),
    "even_spread": (
        conclude_even_spread,
        "Do the bystanders differ after training?",
        "After training, bystanders differ in how much they show the behaviour.",
        "The behaviour spreads evenly: after training, bystanders do not differ, so there is nothing to predict.",
        "{open}.",
    ),
    "base_confound": (
        conclude_base_confound,
        "Does closeness go with leakage among personas that began alike?",
        "Closeness goes with leakage also among personas that began alike.",
        "Where the personas began explains the association: among those that began alike, it does not hold.",
        "Whether where the personas began explains an association is open.",
    ),
}


def draw_conclusions(result):
    """The block "verdict": a list of {"id", "outcome", "question", "answer", "sentence", "because"} from the statistics of one outcome.

    At the headline layer, over the sources whose adapters learned the behaviour. Rules: docs/statistics.md. Whether bystanders
    exceed their source is answered for rates alone. Where personas show the behaviour without adapter, two answers are added.
    """
    layer, conclusions = result["layers"][str(result["headline_layer"])], []
    needs = {"source_leads": "leakage", "even_spread": "even_spread", "base_confound": "even_spread"}
    for name, (conclude, question, *sentences) in ENTRIES.items():
        if needs.get(name, "layers") not in result or (name == "source_leads" and result["outcome"] != RATE):
            continue
        answer, because, *fields = conclude(result, layer)
        if explained := explained_by_base(name, layer):
            answer, because = CANNOT_TELL, f"{explained}; {because}"
        if none_learned(result["training_check"]):
            answer, because = CANNOT_TELL, NONE_LEARNED
        sentence = dict(zip((SUPPORTED, NOT_SUPPORTED, CANNOT_TELL, REVERSED), sentences, strict=False))[answer]
        sentence = sentence.format(**fields[0]) if fields else sentence
        if result["outcome"] == LOGPROB_GAIN:
            sentence = f"By log-probability: {sentence[0].lower()}{sentence[1:]}"
        conclusions.append(
            {"id": name, "outcome": result["outcome"], "question": question, "answer": answer, "sentence": sentence, "because": because}
        )
    return conclusions


def conclusion_lines(entries):
    """One line for each entry of the verdict, for a terminal: the answer, and the sentence, or the question if the answer is open."""
    return [f"{entry['answer']:>14}: {entry['question'] if entry['answer'] == CANNOT_TELL else entry['sentence']}" for entry in entries]
