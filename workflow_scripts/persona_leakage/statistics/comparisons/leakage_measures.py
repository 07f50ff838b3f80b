"""Alternative measures of leakage: agreement with the sampled rate, reliability, and correlation of the cosine with each."""

import numpy as np

from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.infrastructure.undefined import finite, undefined
from persona_leakage.statistics.core.bootstrap import (
    DIFFERENCE_KEYS,
    MEAN_KEYS,
    describe_difference,
    describe_mean,
    describe_source,
    draw_bootstrap,
)
from persona_leakage.statistics.core.pair_matrices import count_different, matrices_of
from persona_leakage.statistics.core.permutation import generator_of
from persona_leakage.statistics.leakage.correlations import correlate
from persona_leakage.statistics.leakage.even_spread import reasons_of_even
from persona_leakage.statistics.leakage.reliability import KEYS as CEILING_KEYS
from persona_leakage.statistics.leakage.reliability import reliability_by_question

# What the detector of the config counted, the trained token ids in a row, and two teacher-forced measures (see teacher_forcing).
BY_REPLIES = ("sampled", "tokens")
MEASURES = (*BY_REPLIES, "end", "anywhere")


def measured(evaluations, forced, questions):
    """{measure: {source: {persona: (value, sums [questions], counts [questions])}}}; a value is sums over counts, None if nothing counts.

    evaluations: {source: {persona: cell of an evaluation}}; forced: the same of teacher_forced.json. A teacher-forced value
    is a mean over replies: "end" the gain in log-probability over the base model, of the replies that ended, "anywhere" a chance.
    """
    found = {measure: {} for measure in MEASURES}
    for source, cells in evaluations.items():
        for measure, key in (("sampled", "found"), ("tokens", "found_tokens")):
            found[measure][source] = {name: of_questions(cell, questions, key, "total", "total") for name, cell in cells.items()}
        for measure, key, number in (("end", "end_gain", "ended"), ("anywhere", "anywhere", "n")):
            found[measure][source] = {name: of_questions(cell, questions, key, None, number) for name, cell in forced[source].items()}
    return found


def of_questions(cell, questions, key, total, number):
    """(value, sums, counts) of one persona: ``key`` is a count where ``total`` names what it is out of, else a mean over ``number``."""
    blocks = [cell["per_question"][question] for question in questions]
    counts = np.array([block[number] for block in blocks], dtype=float)
    sums = np.array([(block[key] or 0.0) * (1 if total else block[number]) for block in blocks], dtype=float)
    return (float(sums.sum() / counts.sum()) if counts.any() else None), sums, counts


def compare_measures(pairs, evaluations, forced, options):
    """The content of measures.json without its meta and costs. pairs: of one layer; options: "bootstraps"."""
    questions = questions_of(forced)
    found = measured(evaluations, forced, questions)
    tables = {measure: with_measure(pairs, values) for measure, values in found.items()}
    matrices = {measure: matrices_of(table) for measure, table in tables.items()}
    sources, even = matrices["sampled"].sources, even_sources(pairs, evaluations)
    usable, reasons, result = {}, {}, {source: {} for source in sources}
    for measure, each in matrices.items():
        excluded = even if measure in BY_REPLIES else {}
        indices, left_out, _ = each.usable_sources()
        usable[measure] = rows = [index for index in indices if sources[index] not in excluded]
        reasons[measure] = {**(dict.fromkeys(sources, each.problem) if each.problem else left_out), **excluded}
        bootstrap = draw_bootstrap(each, rows, options["bootstraps"], derive_seed("statistics", "bootstrap")) if rows else None
        for index, source in enumerate(sources):
            own = tables[measure][tables[measure]["source"] == source]
            block = describe_measure(own, tables["sampled"].loc[own.index, "rate"], found[measure][source], source)
            if index in rows:
                block["cosine"]["interval"] = describe_source(bootstrap, 0, rows.index(index), block["cosine"]["rho"])
            if source in excluded:
                block["cosine"] = undefined(even[source], *block["cosine"])
            result[source][measure] = block
    return {
        "measures": list(MEASURES),
        "questions": len(questions),
        "per_source": result,
        "joint": describe_joint(matrices, found, usable, reasons, questions, options["bootstraps"]),
    }


def questions_of(cells):
    """The questions of {source: {persona: cell}}."""
    return sorted(next(iter(next(iter(cells.values())).values()))["per_question"])


def with_measure(pairs, values):
    """A pairs table whose rate is another measure, {source: {persona: (value, sums, counts)}}; missing values are NaN."""
    cells = [values[source][persona] for source, persona in zip(pairs["source"], pairs["persona"], strict=True)]
    # The other measures have no base rate, so the base rate is not subtracted from the rate either.
    return pairs.drop(columns="base_rate", errors="ignore").assign(
        rate=[np.nan if value is None else value for value, _, _ in cells],
        found=[sums.sum() for _, sums, _ in cells],
        total=[counts.sum() for _, _, counts in cells],
    )


def even_sources(pairs, evaluations):
    """{source: why it has no correlation with the sampled replies} of the even sources (see even_spread), by all questions."""
    questions, matrices = questions_of(evaluations), matrices_of(pairs)
    cells = {
        source: {name: of_questions(cell, questions, "found", "total", "total") for name, cell in found.items()}
        for source, found in evaluations.items()
    }
    return reasons_of_even(matrices, counts_of(matrices, cells, questions))


def describe_measure(rows, sampled, cells, source):
    """One measure with one source: level, agreement with the sampled rate, split-half reliability, correlation of cosine with it."""
    return {
        "source": cells[source][0],
        "mean_bystanders": finite(rows["rate"].mean(skipna=False)),
        "n": len(rows),
        "different": count_different(rows["rate"].to_numpy()),
        "agreement": shortened(correlate(sampled, rows["rate"])),
        "reliability": split_half([cells[name] for name in rows["persona"]]),
        "cosine": shortened(correlate(rows["cosine"], rows["rate"]), "interval"),
    }


def shortened(found, *later):
    """Spearman's rho and its p of a :func:`correlate`, with keys to be filled ``later``."""
    return {"rho": found["spearman_rho"], "p": found["spearman_p"], **dict.fromkeys(later), "undefined": found["undefined"]}


def split_half(cells):
    """Reliability of a measure from halves of the questions; the halves are the same for every measure and source.

    cells: (value, sums [questions], counts [questions]) of each bystander.
    """
    sums, counts = (np.stack([cell[index] for cell in cells]) for index in (1, 2))
    if sums.shape[1] < 2:
        return undefined("one question", *CEILING_KEYS)
    if any(cell[0] is None for cell in cells):
        return undefined("a bystander has no value", *CEILING_KEYS)
    return reliability_by_question(sums, counts, generator_of("halves of the measures"), np.array([cell[0] for cell in cells]))


def describe_joint(matrices, found, usable, reasons, questions, samples):
    """Over the sources that every measure allows: mean correlation of cosine with each, and how it differs from the sampled rate's."""
    sources = [index for index in range(len(matrices["sampled"].sources)) if all(index in usable[measure] for measure in MEASURES)]
    names = matrices["sampled"].names(sources)
    left_out = {measure: reasons[measure] for measure in MEASURES}
    if not sources:
        problem = "no source has values that differ under every measure"
        empty = {**undefined(problem, *MEAN_KEYS), "from_sampled": undefined(problem, *DIFFERENCE_KEYS)}
        return {"sources": names, "left_out": left_out, "measures": dict.fromkeys(MEASURES, empty), "undefined": problem}
    blocks, reference = {}, None
    for measure in MEASURES:
        each = matrices[measure]
        counts = counts_of(each, found[measure], questions)
        bootstrap = draw_bootstrap(each, sources, samples, derive_seed("statistics", "bootstrap"), counts)
        cosines = each.cosines["cosine"][0]
        known = {index: ~np.isnan(each.rate[index]) for index in sources}
        rhos = [correlate(cosines[index, at], each.rate[index, at])["spearman_rho"] for index, at in known.items()]
        block = describe_mean(bootstrap, 0, rhos)
        if reference is None:
            reference, from_sampled = (bootstrap, rhos), undefined("the sampled rate itself", *DIFFERENCE_KEYS)
        else:
            both = reference[0].change(lambda way, drawn, other=bootstrap.drawn: np.concatenate([drawn, other[way]]))
            from_sampled = describe_difference(both, 1, 0, rhos, reference[1])
        blocks[measure] = {**block, "from_sampled": from_sampled}
    return {"sources": names, "left_out": left_out, "measures": blocks, "undefined": None}


def counts_of(matrices, found, questions):
    """{"found", "total"} [sources, personas, questions] as draw_bootstrap takes them; NaN for a source with itself."""
    counts = {key: np.full((*matrices.rate.shape, len(questions)), np.nan) for key in ("found", "total")}
    for row, column in np.argwhere(~np.isnan(matrices.rate)):
        _, sums, numbers = found[matrices.sources[row]][matrices.personas[column]]
        counts["found"][row, column], counts["total"][row, column] = sums, numbers
    return counts
