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
from persona_leakage.statistics.leakage.correlations import correlate
from persona_leakage.statistics.leakage.even_spread import reasons_of_even
from persona_leakage.statistics.leakage.reliability import KEYS as CEILING_KEYS
from persona_leakage.statistics.leakage.reliability import reliability_by_question

# What the marker's detector of the config counted, the trained token ids in a row, and two teacher-forced measures (see teacher_forcing).
BY_REPLIES = ("sampled", "tokens")
MEASURES = (*BY_REPLIES, "end", "anywhere")


def measured(evaluations, forced, questions):
    """{measure: {source: {persona: (value, sums [questions], counts [questions])}}}; a value is sums over counts, None if nothing counts.

    evaluations: {source: {persona: cell of marker_eval.json}}; forced: the same of teacher_forced.json. A teacher-forced value
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
    questions = sorted(next(iter(next(iter(forced.values())).values()))["per_question"])
    found = measured(evaluations, forced, questions)
    tables = {measure: with_measure(pairs, values) for measure, values in found.items()}
    matrices = {measure: matrices_of(table) for measure, table in tables.items()}
    sources = matrices["sampled"].sources
    usable, reasons = {}, {}
    for measure, each in matrices.items():
        usable[measure], left_out, _ = each.usable_sources()
        reasons[measure] = dict.fromkeys(sources, each.problem) if each.problem else left_out
    even = even_sources(pairs, evaluations)
    for measure in BY_REPLIES:
        reasons[measure] = {**reasons[measure], **even}
        usable[measure] = [index for index in usable[measure] if sources[index] not in even]
    result = {source: {} for source in sources}
    for measure, table in tables.items():
        intervals = intervals_of(matrices[measure], usable[measure], options["bootstraps"])
        for source in sources:
            rows = table[table["source"] == source]
            result[source][measure] = describe_measure(
                rows,
                tables["sampled"].loc[rows.index, "rate"],
                found[measure][source],
                found[measure][source][source][0],
                intervals.get(source),
            )
            if measure in BY_REPLIES and source in even:
                result[source][measure]["cosine"] = undefined(even[source], *result[source][measure]["cosine"])
    return {
        "measures": list(MEASURES),
        "questions": len(questions),
        "per_source": result,
        "joint": describe_joint(matrices, found, usable, reasons, questions, options["bootstraps"]),
    }


def with_measure(pairs, values):
    """A pairs table whose rate is another measure, {source: {persona: (value, sums, counts)}}; missing values are NaN."""
    cells = [values[source][persona] for source, persona in zip(pairs["source"], pairs["persona"], strict=True)]
    # The other measures have no control, so the control is not subtracted from the rate either.
    return pairs.drop(columns="base_rate", errors="ignore").assign(
        rate=[np.nan if value is None else value for value, _, _ in cells],
        found=[sums.sum() for _, sums, _ in cells],
        total=[counts.sum() for _, _, counts in cells],
    )


def even_sources(pairs, evaluations):
    """{source: why it has no correlation with the sampled replies} of the even sources (see even_spread), by all questions."""
    questions = sorted(next(iter(next(iter(evaluations.values())).values()))["per_question"])
    cells = {
        source: {name: of_questions(cell, questions, "found", "total", "total") for name, cell in found.items()}
        for source, found in evaluations.items()
    }
    matrices = matrices_of(pairs)
    return reasons_of_even(matrices, counts_of(matrices, cells, questions))


def intervals_of(matrices, usable, samples):
    """{source: function of its rho that gives the interval over bystanders} of the usable sources."""
    if not usable:
        return {}
    bootstrap = draw_bootstrap(matrices, usable, samples, derive_seed("statistics", "bootstrap"))
    return {matrices.sources[index]: lambda rho, row=row: describe_source(bootstrap, 0, row, rho) for row, index in enumerate(usable)}


def describe_measure(rows, sampled, cells, source_value, interval):
    """One measure with one source: level, agreement with the sampled rate, split-half reliability, correlation of cosine with it."""
    with_cosine, with_sampled = correlate(rows["cosine"], rows["rate"]), correlate(sampled, rows["rate"])
    rho = with_cosine["spearman_rho"]
    return {
        "source": source_value,
        "mean_bystanders": finite(rows["rate"].mean(skipna=False)),
        "n": len(rows),
        "different": count_different(rows["rate"].to_numpy()),
        "agreement": {"rho": with_sampled["spearman_rho"], "p": with_sampled["spearman_p"], "undefined": with_sampled["undefined"]},
        "reliability": split_half([cells[name] for name in rows["persona"]]),
        "cosine": {
            "rho": rho,
            "p": with_cosine["spearman_p"],
            "interval": interval(rho) if interval and rho is not None else None,
            "undefined": with_cosine["undefined"],
        },
    }


def split_half(cells):
    """Reliability of a measure from halves of the questions; the halves are the same for every measure and source.

    cells: (value, sums [questions], counts [questions]) of each bystander.
    """
    sums, counts = (np.stack([cell[index] for cell in cells]) for index in (1, 2))
    if sums.shape[1] < 2:
        return undefined("one question", *CEILING_KEYS)
    if any(cell[0] is None for cell in cells):
        return undefined("a bystander has no value", *CEILING_KEYS)
    generator = np.random.default_rng(derive_seed("statistics", "halves of the measures"))
    return reliability_by_question(sums, counts, generator, np.array([cell[0] for cell in cells]))


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
        rhos = [source_rho(each, index) for index in sources]
        block = describe_mean(bootstrap, 0, rhos)
        if reference is None:
            reference, from_sampled = (bootstrap, rhos), undefined("the sampled rate itself", *DIFFERENCE_KEYS)
        else:
            both = reference[0].change(lambda way, drawn, other=bootstrap.drawn: np.concatenate([drawn, other[way]]))
            from_sampled = describe_difference(both, 1, 0, rhos, reference[1])
        blocks[measure] = {**block, "from_sampled": from_sampled}
    return {"sources": names, "left_out": left_out, "measures": blocks, "undefined": None}


def source_rho(matrices, index):
    """Spearman's rho of cosine with the measure over all bystanders of one source."""
    members = np.flatnonzero(~np.isnan(matrices.rate[index]))
    return correlate(matrices.cosines["cosine"][0, index, members], matrices.rate[index, members])["spearman_rho"]


def counts_of(matrices, found, questions):
    """{"found", "total"} [sources, personas, questions] as Bootstrap takes them; NaN for a source with itself."""
    counts = {key: np.full((*matrices.rate.shape, len(questions)), np.nan) for key in ("found", "total")}
    for row, column in np.argwhere(~np.isnan(matrices.rate)):
        _, sums, numbers = found[matrices.sources[row]][matrices.personas[column]]
        counts["found"][row, column], counts["total"][row, column] = sums, numbers
    return counts
