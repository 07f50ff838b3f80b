"""How likely a model finds the marker at the end of replies that are given: one pass over each reply, nothing is sampled."""

from dataclasses import replace

import torch

from persona_leakage.behaviours.marker import encode_answer
from persona_leakage.inference.batched_forward import BATCH_TOKENS, Stage, in_chunks, prefill
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import digest_of, write_jsonl_gz
from persona_leakage.infrastructure.resume import JSON_LINES, compute_missing

SCORES = replace(JSON_LINES, write=lambda path, part: write_jsonl_gz(path, map(list, part.items())))
STAGE = Stage("marker probabilities", "replies", "set geometry.precision: bfloat16", "evaluation.sampling.max_new_tokens")


@torch.inference_mode()
def marker_scores(model, replies, marker, batch_tokens=BATCH_TOKENS):
    """([(end, anywhere)] of ``replies``, memory); a reply is (prompt ids, reply ids, separator ids), see place_marker.

    end: natural log of the probability that separator and marker follow the reply ids, token by token; None for a
    reply that was cut at the limit, whose last token is no end: its separator ids are None. anywhere: 1 - product of (1 - p) over
    all positions of a reply, p being the probability of the marker's first token there: before each of its tokens and, unless
    it was cut, at its end, there also after the separator. Other replies in a batch do not change its scores; memory: see prefill.
    """
    tails = [() if separator is None else (*separator, *marker.own_ids) for _, _, separator in replies]
    sequences = [[*prompt, *reply, *tail][: -1 if tail else None] for (prompt, reply, _), tail in zip(replies, tails, strict=True)]
    head = model.get_output_embeddings()
    scores = [None] * len(replies)

    def score(batch, forward):
        hidden = forward()
        for row, index in enumerate(batch):
            prompt, reply, separator = replies[index]
            states = hidden[row, len(prompt) - 1 : len(prompt) + len(reply) + len(tails[index]) - 1]
            scores[index] = score_reply(head(states).float(), len(reply), separator, marker.own_ids)

    memory = prefill(model, sequences, score, batch_tokens, STAGE)
    return scores, memory


def place_marker(tokenizer, record, marker, join):
    """(reply ids, separator ids) of a completion record: the tokens that a training row of such an answer has before the marker.

    join: training_data.join. "ids": the sampled ids and the separator of ``marker``; "text": both as encode_answer gives them,
    the sampled ids where that is None. The separator is None for a reply that was cut at the limit.
    """
    sampled = tuple(record["token_ids"])
    if record["finish_reason"] != "stop":
        return sampled, None
    found = encode_answer(tokenizer, record["text"], marker) if join == "text" else None
    return (found[0], found[1].separator_ids) if found else (sampled, marker.separator_ids)


def score_reply(logits, length, separator_ids, marker_ids):
    """(end, anywhere) of one reply of ``length`` tokens from float32 logits [length + tail, vocabulary], see marker_scores."""
    total = logits.logsumexp(dim=-1).double()
    first = (logits[:, marker_ids[0]].double() - total).exp()
    if separator_ids is None:
        return None, chance_of_any(first[:length])
    target = torch.tensor([*separator_ids, *marker_ids], device=logits.device)
    steps = logits[length:].gather(1, target[:, None])[:, 0].double() - total[length:]
    chances = first[: length + 1].clone()
    if separator_ids:  # the marker itself or the separator before it: one or the other
        chances[-1] += steps[: len(separator_ids) + 1].sum().exp()
    return float(steps.sum()), chance_of_any(chances)


def chance_of_any(chances):
    """1 - product of (1 - p), exact also where all p are tiny: float64 [positions] -> float."""
    return float(-torch.expm1(torch.log1p(-chances.clamp(max=1.0)).sum()))


def scores_of_all(load, replies, marker, identity, store, chunk_size):
    """(scores, memory) as marker_scores of all ``replies``; those kept in ``store`` by an earlier run are not computed again.

    load(): the model; called once, if a reply is missing. Each ``chunk_size`` replies are kept under digests of
    their token ids, the separator's, the marker's and ``identity`` (model, adapter, precision, versions, code).
    """
    shared = digest_of([identity, marker.own_ids])
    keys = [digest_of([shared, *reply]) for reply in replies]
    memory = {"times": 0, "batch_tokens": BATCH_TOKENS}
    compute = in_chunks(load, lambda model, chunk, batch_tokens: marker_scores(model, chunk, marker, batch_tokens), memory, chunk_size)
    items = dict(zip(keys, replies, strict=True))
    kept = compute_missing(items, shared, store, compute, chunk_size, STAGE.label, STAGE.unit, SCORES)
    return [tuple(kept[key]) for key in keys], memory


def choose_replies(records, prompts, draws):
    """[(record, prompt ids)] of the first ``draws`` replies of each persona and question (None: all), in the order of ``prompts``.

    records: of completions.jsonl.gz; those of other personas are left out. prompts: [(persona, question, ids)].
    InputError if a persona and question has fewer replies than that, or none.
    """
    cells = {(persona, question): [] for persona, question, _ in prompts}
    for record in records:
        cell = cells.get((record["persona"], record["question"]))
        if cell is not None and (draws is None or record["index"] < draws):
            cell.append(record)
    for (persona, question), cell in cells.items():
        if len(cell) < (draws or 1):
            raise InputError(f"completions hold {len(cell)} of the {draws or 'first'} replies of '{persona}' to {question!r}")
    return [(record, ids) for persona, question, ids in prompts for record in cells[persona, question]]


def score_record(record, score, base):
    """The record of a reply in teacher_forced.jsonl.gz. score: (end, anywhere); base: the base model's record of that reply, or None."""
    end, anywhere = score
    identity = {key: record[key] for key in ("persona", "question", "index")}
    if base is None:
        return {**identity, "end": end, "anywhere": anywhere}
    if identity != {key: base[key] for key in identity}:
        raise InputError(f"the base model's marker probabilities belong to different replies: {identity} has no counterpart")
    return {**identity, "end": end, "anywhere": anywhere, "end_gain": None if end is None else end - base["end"]}


def summarise_records(records, personas):
    """{persona: cell} for the names ``personas``, a cell being that of :func:`mean_record` and the same "per_question"."""
    by_persona = {name: {} for name in personas}
    for record in records:
        by_persona[record["persona"]].setdefault(record["question"], []).append(record)
    return {
        name: {
            **mean_record([record for cell in questions.values() for record in cell]),
            "per_question": {question: mean_record(cell) for question, cell in questions.items()},
        }
        for name, questions in by_persona.items()
    }


def mean_record(records):
    """{"n" replies, "ended" of them; means of "end" and, if there, "end_gain" over those (None: none), of "anywhere" over all}."""
    ended = [record for record in records if record["end"] is not None]
    means = {key: sum(record[key] for record in ended) / len(ended) if ended else None for key in ("end", "end_gain") if key in records[0]}
    return {"n": len(records), "ended": len(ended), **means, "anywhere": sum(record["anywhere"] for record in records) / len(records)}
