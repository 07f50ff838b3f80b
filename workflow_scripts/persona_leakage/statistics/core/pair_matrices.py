"""The pairs table as arrays [layers, sources, personas], the input of every joint statistic."""

from dataclasses import dataclass, field

import numpy as np

from persona_leakage.behaviours.training_check import NONE_LEARNED, check_table, unlearned_sources
from persona_leakage.infrastructure.undefined import describe_missing

MIN_BYSTANDERS, MIN_DIFFERENT = 5, 5
DECIMALS = 12  # of leakage, so that equal differences are equal
PAIR_COLUMNS = (
    "cosine",
    "cosine_raw",
    "cosine_whitened",
    "word_similarity",
    "char_similarity",
    "embedding_similarity",
    "js_source_replies",
    "js_bystander_replies",
)


@dataclass(frozen=True)
class PairMatrices:
    """Axes L layers, S sources, P personas (bystanders and sources); a cell without a row in the table is NaN.

    cosines: {column: [L, S, P]}; rate, found, total: [S, P]; categories, prompt_tokens (or None): [P].
    base_reply_tokens [P]: mean reply length in tokens without adapter; NaN where unknown, None without the column.
    missing: {source: why it has no joint statistics (a measured value is NaN, or its adapter did not learn the behaviour)}.
    unlearned: the sources of the second kind; even: those after whose training all bystanders show the behaviour alike (even_spread.py),
    also in missing. base [P]: rates of the control, the model without adapter; None if unknown.
    linear: "rate" is a number on a scale of its own (see outcomes.gain_table), of which there are no log-odds.
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

    @property
    def began_above_zero(self):
        """Whether some persona shows the behaviour without adapter, so that leakage is a change from unequal beginnings."""
        return self.base is not None and bool(np.nan_to_num(self.base).any())

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
        """Log-odds of the rate, with half a count added to both sides, less those of the control where it is not 0: [S, P].

        Of an outcome that is no rate (linear): the outcome itself.
        """
        if self.linear:
            return self.rate
        odds = log_odds(self.found, self.total)
        return odds - self.base_logits() if self.began_above_zero else odds

    def base_logits(self):
        """Log-odds of the control's rates, as if of as many replies as with adapter, which is how the workflow samples: [S, P]."""
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
    """Build the PairMatrices of a pairs table (see pairs_file); sources in the table's order, personas by name.

    check: of check_table, where the table's own rates cannot say which adapters learned; linear: see PairMatrices.
    """
    layers, sources = sorted(set(table["layer"].tolist())), list(dict.fromkeys(table["source"]))
    personas = sorted({*table["persona"], *sources})
    shape = (len(layers), len(sources), len(personas))
    indices = (
        table["layer"].map({layer: index for index, layer in enumerate(layers)}).to_numpy(),
        table["source"].map({name: index for index, name in enumerate(sources)}).to_numpy(),
        table["persona"].map({name: index for index, name in enumerate(personas)}).to_numpy(),
    )

    def spread(column, over=slice(None), fill=np.nan, kind=float):
        """A column as an array over the axes ``over`` of ``indices``."""
        filled = np.full(shape[over], fill, dtype=kind)
        filled[indices[over]] = table[column].to_numpy()
        return filled

    pairs, persona = slice(1, 3), slice(2, 3)
    unlearned = unlearned_sources(check or check_table(table))
    missing = dict(unlearned)
    for source, rows in table.groupby("source", sort=False):
        # Of an outcome that is no rate, a missing value is that of a persona (all its replies were cut): no common bystander.
        columns = ("cosine",) if linear and rows["rate"].notna().any() else ("cosine", "rate")
        problems = [describe_missing(column, rows[column].to_numpy(dtype=float)) for column in columns]
        if any(problems) and source not in unlearned:
            missing[source] = ", ".join(filter(None, problems))
    return PairMatrices(
        layers=layers,
        sources=sources,
        personas=personas,
        categories=spread("category", persona, fill=None, kind=object),
        cosines={column: spread(column) for column in PAIR_COLUMNS if column in table},
        rate=spread("rate", pairs),
        found=spread("found", pairs),
        total=spread("total", pairs),
        related=spread("related", pairs, fill=False, kind=bool),
        prompt_tokens=spread("prompt_tokens", persona) if "prompt_tokens" in table else None,
        missing=missing,
        unlearned=frozenset(unlearned),
        base=spread("base_rate", persona) if "base_rate" in table else None,
        linear=linear,
        base_reply_tokens=reply_lengths(table, personas, spread("base_reply_tokens", persona)) if "base_reply_tokens" in table else None,
    )


def reply_lengths(table, personas, lengths):
    """``lengths`` [P] in tokens, those of the sources filled in from source_base_reply_tokens, if the table has it."""
    if "source_base_reply_tokens" in table:
        for source, values in table.groupby("source", sort=False)["source_base_reply_tokens"]:
            lengths[personas.index(source)] = values.iloc[0]
    return lengths
