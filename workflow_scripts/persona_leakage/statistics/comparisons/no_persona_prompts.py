"""Prompts without a persona: how often they show the behaviour, and their rank among the bystanders."""

import numpy as np

from persona_leakage.infrastructure.intervals import wilson_interval
from persona_leakage.models.chat_template import no_persona_text

KEPT = ("rate", "found", "total", "mean_tokens", "short_share", "cut_share")


def describe_prompts(tokenizer, no_persona_prompts, question):
    """{variant: {"text": of its prompt to ``question``, "same_as": an earlier variant with the same prompt, or None}}."""
    texts = {variant: no_persona_text(tokenizer, variant, question) for variant in no_persona_prompts}
    return {
        variant: {"text": text, "same_as": next((other for other in no_persona_prompts[:index] if texts[other] == text), None)}
        for index, (variant, text) in enumerate(texts.items())
    }


def score_no_persona_prompts(records, behaviour, no_persona_prompts):
    """{variant: its rate with Wilson's interval, counts and reply lengths} from completion records."""
    cells = {variant: behaviour.cell([r for r in records if r["persona"] == variant]) for variant in no_persona_prompts}
    return {
        variant: {**{key: cell[key] for key in KEPT}, "interval": wilson_interval(cell["found"], cell["total"])}
        for variant, cell in cells.items()
    }


def cosines_beside(vectors, bank, origin, centred):
    """Cosine of each of ``vectors`` [n, hidden] to row ``origin`` of ``bank`` [personas, hidden]: [n].

    centred: the bank's mean is subtracted. ``vectors`` do not count in that mean, so the panel's cosines stay the same.
    """
    vectors, bank = np.asarray(vectors, dtype=np.float64), np.asarray(bank, dtype=np.float64)
    shift = bank.mean(axis=0) if centred else 0
    vectors, target = vectors - shift, bank[origin] - shift
    return vectors @ target / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(target))


def rank_no_persona_prompts(scores, pairs, geometry):
    """What score_no_persona_prompts found for one source, and each prompt's rank among the source's bystanders.

    pairs: the source's rows of one layer of pairs.csv. geometry: {"vectors": {variant: [hidden]}, "bank": [personas, hidden],
    "origin": the source's row in it}. bystanders_above, bystanders_closer: how many leak more, and are closer, than the variant.
    """
    vectors = np.stack([geometry["vectors"][variant] for variant in scores])
    centred, raw = (cosines_beside(vectors, geometry["bank"], geometry["origin"], flag) for flag in (True, False))
    return {
        variant: {
            **cell,
            "cosine": float(centred[index]),
            "cosine_raw": float(raw[index]),
            "bystanders_above": int((pairs["rate"] > cell["rate"]).sum()),
            "bystanders_closer": int((pairs["cosine"] > centred[index]).sum()),
            "bystanders": len(pairs),
        }
        for index, (variant, cell) in enumerate(scores.items())
    }
