"""The pairs table as arrays [layers, sources, personas], the input of every joint statistic."""

from dataclasses import dataclass, field

import numpy as np

from persona_leakage.behaviours.training_check import NONE_LEARNED, check_table, unlearned_sources
from persona_leakage.infrastructure.undefined import describe_missing
from persona_leakage.tables.mean_scores import signed_means
from persona_leakage.tables.question_counts import spread

MIN_BYSTANDERS, MIN_DIFFERENT = 5, 5
DECIMALS = 12  # of leakage, so that equal differences are equal
PAIR_COLUMNS = (
    *("cosine", "cosine_raw", "cosine_whitened", "word_similarity", "char_similarity", "embedding_similarity"),
    *("js_source_replies", "js_bystander_replies"),
)


@dataclass(frozen=True)
class PairMatrices:
    """Axes L layers, S sources, P personas (bystanders and sources); a cell without a row in the table is NaN.

    cosines: {column: [L, S, P]}; rate, found, total: [S, P]; categories, prompt_tokens (or None): [P].
    base_reply_tokens [P]: mean reply length in tokens without adapter; NaN where unknown, None without the column.
    missing: {source: why it has no joint statistics (a measured value is NaN, or its adapter did not learn the behaviour)}.
    unlearned: the sources of the second kind; even: those after whose training all bystanders show the behaviour alike (even_spread.py),
    also in missing. base [P]: rates of the base model; None if unknown.
    linear: "rate" is a number on a scale of its own (outcomes.gain_table, or a mean score), of which there are no log-odds. sign: 1 or -1
    if it is the mean score times that (see mean_scores.signed_means), else None.
    """

    layers: list
    sources: list
    personas: list
    categories: np.ndarray
    cosines: dict
    rate: np.ndarray
    found: np.ndarray
    total: np.ndarray
    related: np.ndarray
    prompt_tokens: np.ndarray | None = None
    missing: dict = field(default_factory=dict)
    unlearned: frozenset = frozenset()
    base: np.ndarray | None = None
    linear: bool = False
    base_reply_tokens: np.ndarray | None = None
    even: frozenset = frozenset()
    sign: int | None = None

    @property
    def began_above_zero(self):
        """Whether some persona shows the behaviour without adapter, so that leakage is a change from unequal beginnings.

        Always so of mean scores, whose 0 has no such meaning.
        """
        return self.base is not None and (self.sign is not None or bool(np.nan_to_num(self.base).any()))

    @property
    def bystanders(self):
        """Indices of the personas that are no source and have a pair with every source that lacks no value."""
        whole = [index for index, source in enumerate(self.sources) if source not in self.missing]
        complete = ~np.isnan(self.rate[whole]).any(axis=0) & ~np.isnan(self.cosines["cosine"][:, whole]).any(axis=(0, 1))
        return np.array([index for index, name in enumerate(self.personas) if complete[index] and name not in self.sources], dtype=int)

    def names(self, sources):
        """Names of ``sources`` (indices)."""
        return [self.sources[index] for index in sources]

    def common(self, values, sources):
        """``values`` [S, P] or [L, S, P] of ``sources`` (indices) over the common bystanders: [sources, bystanders] or [L, ...]."""
        chosen = np.ix_(sources, self.bystanders)
        return values[chosen] if values.ndim == 2 else np.stack([layer[chosen] for layer in values])

    @property
    def left_out(self):
        """Names of the personas that are no source but lack a pair, and are therefore no common bystanders."""
        used = {*self.bystanders.tolist()}
        return [name for index, name in enumerate(self.personas) if index not in used and name not in self.sources]

    @property
    def problem(self):
        """Why statistics over all sources at once are undefined, or None."""
        if self.unlearned == {*self.sources}:
            return NONE_LEARNED
        if len(self.missing) == len(self.sources):
            return "; ".join(f"{name}: {reason}" for name, reason in self.missing.items())
        if len(self.bystanders) < MIN_BYSTANDERS:
            return f"{len(self.bystanders)} common bystander(s), measured with all sources; at least {MIN_BYSTANDERS} needed"
        return None

    @property
    def leakage(self):
        """By how much a bystander's rate exceeds that of the same persona without adapter: [S, P]; the rate where that is unknown."""
        return self.rate if self.base is None else np.round(self.rate - self.base, DECIMALS)

    def logits(self):
        """Log-odds of the rate, with half a count added to both sides, minus those of the base model where it is not 0: [S, P].

        Of an outcome that is no rate (linear): leakage itself.
        """
        if self.linear:
            return self.leakage
        odds = log_odds(self.found, self.total)
        return odds - self.base_logits() if self.began_above_zero else odds

    def base_logits(self):
        """Log-odds of the base model's rates, as if of as many replies as with adapter, which is how the workflow samples: [S, P].

        Of an outcome that is not a rate: the base model's outcome itself.
        """
        if self.linear:
            return np.broadcast_to(self.base, self.rate.shape)
        return log_odds(self.base * self.total, self.total)

    def usable_sources(self):
        """(indices of the sources in the joint statistics, {source: why it is left out}, why none can be used or None).

        A source needs all its values, MIN_DIFFERENT bystanders whose leakage is not the commonest value, and cosines that differ
        in every layer. Without enough common bystanders or sources that learned, the reason is one for all.
        """
        if self.problem:
            return [], {}, self.problem
        used, reasons = [], dict(self.missing)
        for index, source in enumerate(self.sources):
            if source in reasons:
                continue
            different = count_different(self.leakage[index, self.bystanders])
            flat = np.flatnonzero(np.ptp(self.cosines["cosine"][:, index][:, self.bystanders], axis=1) == 0)
            if different == 0:
                reasons[source] = "leakage is the same for all bystanders"
            elif different < MIN_DIFFERENT:
                reasons[source] = f"{different} bystander(s) differ in leakage from the rest; at least {MIN_DIFFERENT} needed"
            elif len(flat):
                reasons[source] = f"cosine is the same for all bystanders at layer {self.layers[flat[0]]}"
            else:
                used.append(index)
        return used, reasons, None if used else "; ".join(f"{name}: {reason}" for name, reason in reasons.items())

    def clear_sources(self, sources):
        """Those of ``sources`` (indices) of whose common bystanders at most a quarter have one and the same leakage.

        The others lie at the floor (or the ceiling) of what can be measured: there a bystander's general proneness hardly
        shows, so that taking its mean over the sources out leaves some of it behind, which looks like an effect of the pair.
        """
        size = len(self.bystanders)
        values = (self.rate[:, self.bystanders], self.leakage[:, self.bystanders])
        return [index for index in sources if all(4 * count_different(each[index]) >= 3 * size for each in values)]


def log_odds(found, total):
    """Log-odds of found in total with half a count added to both sides."""
    return np.log((found + 0.5) / (total - found + 0.5))


def count_different(values):
    """How many values are not the commonest one."""
    return len(values) - int(np.unique(values, return_counts=True)[1].max())


def matrices_of(table, check=None, linear=False):
    """Build the PairMatrices of a pairs table (see tables/read.py); sources in the table's order, personas by name.

    check: of check_table, where the table's own rates cannot say which adapters learned; linear: see PairMatrices.
    """
    layers, sources = sorted(set(table["layer"].tolist())), list(dict.fromkeys(table["source"]))
    personas = sorted({*table["persona"], *sources})
    unlearned = unlearned_sources(check or check_table(table))
    missing = dict(unlearned)
    sign = None
    if "outcome" in table:
        (table, sign), linear = signed_means(table), True
    for source, rows in table.groupby("source", sort=False):
        # Of an outcome that is no rate, a missing value is that of a persona (all its replies were cut): no common bystander.
        columns = ("cosine",) if linear and rows["rate"].notna().any() else ("cosine", "rate")
        problems = [describe_missing(column, rows[column].to_numpy(dtype=float)) for column in columns]
        if any(problems) and source not in unlearned:
            missing[source] = ", ".join(filter(None, problems))
    known = {
        column: spread(table, {"persona": personas}, column) if column in table else None
        for column in ("prompt_tokens", "base_rate", "base_reply_tokens")
    }
    if {"base_reply_tokens", "source_base_reply_tokens"} <= {*table}:
        for source, values in table.groupby("source", sort=False)["source_base_reply_tokens"]:
            known["base_reply_tokens"][personas.index(source)] = values.iloc[0]
    axes = {"source": sources, "persona": personas}
    return PairMatrices(
        layers=layers,
        sources=sources,
        personas=personas,
        categories=spread(table, {"persona": personas}, "category", None, object),
        cosines={column: spread(table, {"layer": layers, **axes}, column) for column in PAIR_COLUMNS if column in table},
        rate=spread(table, axes, "rate"),
        found=spread(table, axes, "found"),
        total=spread(table, axes, "total"),
        related=spread(table, axes, "related", False, bool),
        prompt_tokens=known["prompt_tokens"],
        missing=missing,
        unlearned=frozenset(unlearned),
        base=known["base_rate"],
        linear=linear,
        base_reply_tokens=known["base_reply_tokens"],
        sign=sign,
    )
