"""The pairs table as arrays [layers, sources, personas], which every joint statistic takes."""

from dataclasses import dataclass

import numpy as np

from persona_leakage.undefined import describe_missing

MIN_BYSTANDERS = 5
PAIR_COLUMNS = ("cosine", "cosine_raw", "word_similarity", "char_similarity", "embedding_similarity")


@dataclass(frozen=True)
class PairMatrices:
    """Axes L layers, S sources, P personas (bystanders and sources); a cell without a row in the table is NaN.

    cosines: {column: [L, S, P]}; rate, found, total: [S, P]; categories, prompt_tokens (or None): [P].
    missing: why joint statistics are undefined (a measured value is NaN), or None.
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
    prompt_tokens: np.ndarray | None
    missing: str | None

    @property
    def bystanders(self):
        """Indices of the personas that are no source and were measured with every source in every layer."""
        complete = ~np.isnan(self.rate).any(axis=0) & ~np.isnan(self.cosines["cosine"]).any(axis=(0, 1))
        return np.array([place for place, name in enumerate(self.personas) if complete[place] and name not in self.sources], dtype=int)

    @property
    def left_out(self):
        """Names of the personas that are no source but lack a pair, and are therefore no common bystanders."""
        used = {*self.bystanders.tolist()}
        return [name for place, name in enumerate(self.personas) if place not in used and name not in self.sources]

    @property
    def problem(self):
        """Why statistics over all sources at once are undefined, or None."""
        if self.missing:
            return self.missing
        if len(self.bystanders) < MIN_BYSTANDERS:
            return f"{len(self.bystanders)} bystanders that were measured with all sources; at least {MIN_BYSTANDERS} needed"
        return None

    def logits(self):
        """log-odds of leakage with half a count added to both sides: [S, P]."""
        return np.log((self.found + 0.5) / (self.total - self.found + 0.5))

    def usable_sources(self, places):
        """Places of the sources over whose bystanders neither leakage nor the cosine of any layer is constant, and the others' reasons."""
        used, reasons = [], {}
        for place, source in enumerate(self.sources):
            if np.ptp(self.rate[place, places]) == 0:
                reasons[source] = "leakage is the same for all bystanders"
                continue
            flat = np.flatnonzero(np.ptp(self.cosines["cosine"][:, place][:, places], axis=1) == 0)
            if len(flat):
                reasons[source] = f"cosine is the same for all bystanders at layer {self.layers[flat[0]]}"
            else:
                used.append(place)
        return used, reasons


def matrices_of(table):
    """Build the PairMatrices of a pairs table (see pairs_file); sources in the table's order, personas by name."""
    layers, sources = sorted(set(table["layer"].tolist())), list(dict.fromkeys(table["source"]))
    personas = sorted({*table["persona"], *sources})
    shape = (len(layers), len(sources), len(personas))
    place = (
        table["layer"].map({layer: index for index, layer in enumerate(layers)}).to_numpy(),
        table["source"].map({name: index for index, name in enumerate(sources)}).to_numpy(),
        table["persona"].map({name: index for index, name in enumerate(personas)}).to_numpy(),
    )

    def spread(column, over=slice(None), fill=np.nan, kind=float):
        """A column as an array over the axes ``over`` of ``place``."""
        filled = np.full(shape[over], fill, dtype=kind)
        filled[place[over]] = table[column].to_numpy()
        return filled

    pairs, persona = slice(1, 3), slice(2, 3)
    problems = [describe_missing(column, table[column].to_numpy(dtype=float)) for column in ("cosine", "rate")]
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
        missing=next(filter(None, problems), None),
    )
