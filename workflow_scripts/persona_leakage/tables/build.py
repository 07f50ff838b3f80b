"""The tidy table of pairs: one row for each layer, source and bystander; the main input of statistics and figures."""

import numpy as np
import pandas as pd

from persona_leakage.geometry.cosine import cosine_matrix, whitened_cosines
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.seeds import derive_seed

COLUMNS = [
    *("layer", "source", "persona", "category", "related", "negative", "cosine", "cosine_raw", "cosine_whitened"),
    *("rate", "found", "total", "base_rate", "source_rate", "source_total", "source_base_rate"),
    *("prompt_tokens", "base_reply_tokens", "source_base_reply_tokens"),
]
DECIMALS = 12  # of leakage, so that equal differences are equal
LENGTH_COLUMNS = COLUMNS[-2:]  # missing where no replies were sampled
RESAMPLES = 2_000
MIN_QUESTIONS = 5  # fewer say next to nothing of how much questions differ
GAIN_COLUMNS = ["logprob_gain", "logprob_replies", "source_logprob_gain"]


def tabulate_pairs(layers, evaluations, base, negatives, similarities, forced=None):
    """One row per (layer, source, bystander); a source is not its own bystander, the other sources are.

    layers: {layer: {"personas": [names], "prompt_tokens": [ints], "centroids": [personas, hidden]}}.
    evaluations: {source: {persona: cell of an evaluation}}; base: the same cells without adapter.
    negatives: {source: names that served as negatives}; similarities: {column: [personas, personas]}, with a source's row for each.
    forced: {source: {persona: cell of teacher_forced.json}}, if measured: adds the columns GAIN_COLUMNS.
    Returns a DataFrame with the columns COLUMNS and those of ``similarities``; cosine is centred on the panel, cosine_raw is not,
    cosine_whitened is centred and whitened. base_reply_tokens: mean tokens of a persona's replies without adapter.
    Where a bystander has a base_rate above 0, also the columns leakage, rate minus base_rate, and leakage_se, its standard error over the
    choice of questions.
    """
    rows = []
    lengths = {name: cell["mean_tokens"] for name, cell in base.items()} if all("mean_tokens" in cell for cell in base.values()) else None
    for layer, geometry in sorted(layers.items()):
        names = geometry["personas"]
        whitened = whitened_cosines(geometry["centroids"])
        centred, raw = (cosine_matrix(geometry["centroids"], centred=flag) for flag in (True, False))
        for source, cells in evaluations.items():
            origin = names.index(source)
            for index, persona in enumerate(names):
                if persona == source:
                    continue
                cell = cells[persona]
                rows.append(
                    {
                        "layer": layer,
                        "source": source,
                        "persona": persona,
                        "category": cell["category"],
                        "related": source in cell["related_to"],
                        "negative": persona in negatives[source],
                        "cosine": centred[origin, index],
                        "cosine_raw": raw[origin, index],
                        "cosine_whitened": whitened[origin, index],
                        "rate": cell["rate"],
                        "found": cell["found"],
                        "total": cell["total"],
                        "base_rate": base[persona]["rate"],
                        "source_rate": cells[source]["rate"],
                        "source_total": cells[source]["total"],
                        "source_base_rate": base[source]["rate"],
                        "prompt_tokens": geometry["prompt_tokens"][index],
                        **({} if lengths is None else {"base_reply_tokens": lengths[persona], "source_base_reply_tokens": lengths[source]}),
                        **{column: values[origin, index] for column, values in similarities.items()},
                        **(gain_of(forced[source], source, persona) if forced else {}),
                    }
                )
    columns = [column for column in COLUMNS if lengths or column not in LENGTH_COLUMNS]
    table = pd.DataFrame(rows, columns=[*columns, *similarities, *(GAIN_COLUMNS if forced else ())])
    return add_change(table, evaluations, base) if (table["base_rate"] > 0).any() else table


def add_change(table, evaluations, base):
    """The table with the columns leakage and leakage_se appended."""
    errors = {source: errors_of(cells, base) for source, cells in evaluations.items()}
    pairs = zip(table["source"], table["persona"], strict=True)
    return table.assign(
        leakage=(table["rate"] - table["base_rate"]).round(DECIMALS), leakage_se=[errors[source][persona] for source, persona in pairs]
    )


def add_controls(table, evaluations, controls):
    """The table with the columns of its controls: {control: {source: {persona: cell}}}; none, no columns.

    Of each control its rate, the source's own, and leakage beyond it: rate minus the control's rate, with the standard error over
    the choice of questions.
    """
    pairs = list(zip(table["source"], table["persona"], strict=True))
    for control, states in controls.items():
        errors = {source: errors_of(cells, states[source]) for source, cells in evaluations.items()}
        rates = pd.Series([states[source][persona]["rate"] for source, persona in pairs], dtype=float)
        columns = {
            f"{control}_rate": rates,
            f"source_{control}_rate": [states[source][source]["rate"] for source, _ in pairs],
            f"leakage_beyond_{control}": (table["rate"] - rates).round(DECIMALS),
            f"leakage_beyond_{control}_se": [errors[source][persona] for source, persona in pairs],
        }
        table = table.assign(**columns)
    return table


def add_pairings(table, evaluations, base, controls):
    """The table with counts of the items that show the behaviour in two states, where all states answer the same items, each once.

    base_both: with the adapter and without; {control}_both: with the adapter and with the control; {control}_base_both: with the
    control and without. The same of the source itself, with the prefix source_. Arguments as in tabulate_pairs and add_controls.
    """
    pairs = list(zip(table["source"], table["persona"], strict=True))
    plain = dict.fromkeys(evaluations, base)
    states = {"base_both": (evaluations, plain)}
    for control, others in controls.items():
        states |= {f"{control}_both": (evaluations, others), f"{control}_base_both": (others, plain)}
    for name, (first, second) in states.items():
        table = table.assign(
            **{
                name: [count_both(first[source][persona], second[source][persona]) for source, persona in pairs],
                f"source_{name}": [count_both(first[source][source], second[source][source]) for source, _ in pairs],
            }
        )
    return table


def count_both(first, second):
    """How many items show the behaviour in both of two cells; InputError if they are not of the same items."""
    items, others = first["per_question"], second["per_question"]
    if {*items} != {*others}:
        raise InputError("two evaluations have different items; evaluate all states with the same items")
    return sum(item["found"] * others[name]["found"] for name, item in items.items())


def clustered_error(found, total, base_found, base_total):
    """Standard error of found / total - base_found / base_total over the choice of questions: arrays [..., questions] -> [...].

    Bootstrap of whole questions (Cameron, Gelbach & Miller 2008): a drawn question brings the replies with adapter and those
    without, so what makes a question easy for both drops out. A resample of q questions varies by a factor (q - 1) / q too little,
    which is corrected. For equal totals the limit of many resamples is the standard error of the mean of the question-wise
    differences. NaN with fewer than MIN_QUESTIONS questions.
    """
    size = found.shape[-1]
    if size < MIN_QUESTIONS:
        return np.full(found.shape[:-1], np.nan)
    generator = np.random.default_rng(derive_seed("tables", "questions"))
    weights = generator.multinomial(size, np.full(size, 1 / size), size=RESAMPLES).astype(float)
    with np.errstate(invalid="ignore"):  # of a mean score, no reply to the questions of a resample may have a score
        drawn = (found @ weights.T) / (total @ weights.T) - (base_found @ weights.T) / (base_total @ weights.T)
    return np.sqrt(drawn.var(axis=-1, ddof=1) * size / (size - 1))


def errors_of(cells, base, keys=("found", "total")):
    """{persona: clustered_error} from {persona: cell with "per_question" {question: {sum, number}}}; NaN where questions differ."""
    errors = {}
    for persona, cell in cells.items():
        questions, without = cell.get("per_question", {}), base[persona].get("per_question", {})
        names = sorted(questions)
        if names != sorted(without):
            errors[persona] = float("nan")
            continue
        counts = [np.array([block[name][key] for name in names], dtype=float) for block in (questions, without) for key in keys]
        errors[persona] = float(clustered_error(*counts))
    return errors


def gain_of(cells, source, persona):
    """What the cells of a source's teacher_forced.json say of one persona: mean gain of the replies that ended, and how many did."""
    return {
        "logprob_gain": cells[persona]["end_gain"],
        "logprob_replies": cells[persona]["ended"],
        "source_logprob_gain": cells[source]["end_gain"],
    }
