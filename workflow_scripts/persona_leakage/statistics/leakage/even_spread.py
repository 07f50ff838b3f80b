"""Do bystanders differ at all after training? Where they do not, there is nothing for a predictor to rank: the behaviour spreads evenly."""

from dataclasses import replace

import numpy as np

from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.infrastructure.undefined import undefined
from persona_leakage.statistics.core.bootstrap import MIN_QUESTIONS, present
from persona_leakage.statistics.core.multiple_testing import holm
from persona_leakage.statistics.core.permutation import share_at_least

LEVEL = 0.05
DRAWS = 999
BATCH = 4_000_000  # numbers that are permuted at once
KEYS = ("sd", "sd_by_chance", "p", "p_holm", "even")


def spread_test(rates, draws, generator):
    """Do personas differ over the questions? {"sd", "sd_by_chance", "p"} of rates with adapter [personas, questions].

    sd: standard deviation of the personas' means over the questions. By chance, the rates of each question are permuted
    among the personas (a permutation test in randomised blocks, Pitman 1938). So only differences between personas that hold across
    questions count, not differences between questions or of one persona on one question. p = (1 + b) / (1 + draws), with
    b of the draws at least as far apart. sd_by_chance: mean over the draws.
    """
    centred = rates - rates.mean(axis=0)
    step, drawn = max(1, BATCH // centred.size), []
    for start in range(0, draws, step):
        dealt = generator.permuted(np.broadcast_to(centred, (min(step, draws - start), *centred.shape)), axis=1)
        drawn.append(dealt.mean(axis=2).std(axis=1, ddof=1))
    drawn, sd = np.concatenate(drawn), centred.mean(axis=1).std(ddof=1)
    return {"sd": float(sd), "sd_by_chance": float(drawn.mean()), "p": share_at_least(drawn, sd)}


def describe_spread(matrices, counts):
    """{source: {KEYS, "undefined"}}; even: p_holm, corrected for the number of sources (Holm 1979), is above .05.

    Over all bystanders of a source. counts: {"found", "total"} [sources, personas, questions], or None. The draws depend on nothing
    but the purpose, so the same table gives the same numbers.
    """
    result = {}
    for index, source in enumerate(matrices.sources):
        members = present(matrices, index)
        if source in matrices.missing:
            result[source] = undefined(matrices.missing[source], *KEYS)
        elif counts is None:
            result[source] = undefined("no counts per question", *KEYS)
        elif counts["found"].shape[-1] < MIN_QUESTIONS or len(members) < 2:
            size = counts["found"].shape[-1]
            result[source] = undefined(f"{size} question(s) and {len(members)} bystander(s); at least {MIN_QUESTIONS} and 2 needed", *KEYS)
        else:
            generator = np.random.default_rng(derive_seed("statistics", "even spread"))
            found, total = (counts[key][index, members] for key in ("found", "total"))
            if (total == 0).any():
                result[source] = undefined("a bystander has no scored reply to some question", *KEYS)
            else:
                result[source] = {**spread_test(found / total, DRAWS, generator), "undefined": None}
    adjusted = holm({source: block["p"] for source, block in result.items()})
    for source, block in result.items():
        if block["p"] is not None:
            block.update(p_holm=adjusted[source], even=bool(adjusted[source] > LEVEL))
    return result


def without_even_sources(matrices, spread):
    """The same PairMatrices in which the even sources (see describe_spread) are excluded from all correlations."""
    even = {source: why_even(block) for source, block in spread.items() if block["even"]}
    return replace(matrices, missing={**matrices.missing, **even}, even=frozenset(even))


def leave_out_even(matrices, counts):
    """without_even_sources, for statistics that are not told which these are; the same PairMatrices where the behaviour began at 0."""
    return without_even_sources(matrices, describe_spread(matrices, counts)) if matrices.began_above_zero else matrices


def reasons_of_even(matrices, counts):
    """{source: why it has no correlations} of the even sources of leave_out_even."""
    known = leave_out_even(matrices, counts)
    return {source: known.missing[source] for source in matrices.sources if source in known.even}


def why_even(block):
    """The reason why a source has no correlations."""
    p = f"p = {block['p_holm']:.2g} after Holm's correction"
    return f"the behaviour spreads evenly: after training its bystanders do not differ ({p})"
