"""How much would leakage vary with other questions? A standard error by resampling them, for adapter and base model together."""

import numpy as np

from persona_leakage.infrastructure.seeds import derive_seed

RESAMPLES = 2_000
MIN_QUESTIONS = 5  # fewer say next to nothing of how much questions differ


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
    drawn = (found @ weights.T) / (total @ weights.T) - (base_found @ weights.T) / (base_total @ weights.T)
    return np.sqrt(drawn.var(axis=-1, ddof=1) * size / (size - 1))


def errors_of(cells, base):
    """{persona: clustered_error} from {persona: cell with "per_question" {question: {"found", "total"}}}; NaN where questions differ."""
    errors = {}
    for persona, cell in cells.items():
        questions, without = cell.get("per_question", {}), base[persona].get("per_question", {})
        names = sorted(questions)
        if names != sorted(without):
            errors[persona] = float("nan")
            continue
        counts = [
            np.array([block[name][key] for name in names], dtype=float) for block in (questions, without) for key in ("found", "total")
        ]
        errors[persona] = float(clustered_error(*counts))
    return errors
