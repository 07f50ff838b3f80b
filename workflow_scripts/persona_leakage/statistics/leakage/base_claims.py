"""Two conclusions where personas show the behaviour without adapter: does it spread evenly, and do base rates explain the association?"""

from persona_leakage.statistics.leakage.claims import (
    CANNOT_TELL,
    NOT_SUPPORTED,
    SUPPORTED,
    interval_text,
    number,
    unless,
)

EXPLAINED = "explained by where the personas began"
# Claims that are about the plain correlation of closeness with leakage; the others take the base rate out.
PLAIN_CLAIMS = ("association", "new_sources")


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
    return f"{words}among personas with the same base rate (partial correlation) {estimate(partial)}"


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
    because += " after Holm's correction (standard deviation of the bystanders' rates, and by chance: "
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
