"""A source's training set: which personas serve as negatives, which answers are used, and the rows made of them."""

from collections import Counter

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import digest_of
from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.training.labels import build_row


def choose_negatives(source, candidates, count, seed):
    """``count`` personas other than ``source``, by the order of a hash: whichever other sources there are, the choice is the same."""
    others = sorted({*candidates} - {source}, key=lambda name: (derive_seed(seed, "negatives", source, name), name))
    return sorted(others[:count])


def usable_answers(draws, unusable, truncated_answers, parts):
    """Split the draws of one (persona, question), in order of their index, into usable ones and reasons for the rest.

    An answer is unusable if it is empty, if unusable(its text) gives a reason, if it was cut at the token limit (unless
    ``truncated_answers`` is "keep"), or if parts(record) is None: encoding it again changes its tokens.
    Returns (usable records, Counter of reasons).
    """
    usable, dropped = [], Counter()
    for draw in sorted(draws, key=lambda record: record["index"]):
        if not draw["text"].strip():
            dropped["empty"] += 1
        elif reason := unusable(draw["text"]):
            dropped[reason] += 1
        elif draw["finish_reason"] == "length" and truncated_answers == "replace":
            dropped["cut_at_limit"] += 1
        elif parts(draw) is None:
            dropped["changed_by_encoding"] += 1
        else:
            usable.append(draw)
    return usable, dropped


def select_answers(pool, personas, questions, wanted, unusable, truncated_answers, parts):
    """The answers to use: up to ``wanted`` per persona and question, unusable ones replaced by later draws.

    unusable, truncated_answers: see usable_answers; parts: {persona: as there}.
    Returns ({persona: [records]}, {persona: counts}), counts being answers used, draws dropped by reason, answers
    replaced by an extra sample, and answers missing because there were no more.
    InputError if a persona has no usable answer at all.
    """
    draws = {}
    for record in pool:
        draws.setdefault((record["persona"], record["question"]), []).append(record)
    chosen, counts = {}, {}
    for persona in personas:
        chosen[persona], dropped, replaced, missing = [], Counter(), 0, 0
        for question in questions:
            usable, reasons = usable_answers(draws.get((persona, question), []), unusable, truncated_answers, parts[persona])
            used = usable[:wanted]
            chosen[persona] += used
            dropped += reasons
            replaced += sum(record["index"] >= wanted for record in used)
            missing += wanted - len(used)
        if not chosen[persona]:
            raise InputError(
                f"training pool: no usable answer of persona '{persona}' (dropped: {dict(dropped)}); raise max_new_tokens,"
                " or against changed_by_encoding choose another behaviour.separator"
            )
        counts[persona] = {"used": len(chosen[persona]), "dropped": dict(dropped), "replaced": replaced, "missing": missing}
    return chosen, counts


def build_training_rows(source, answers, prompts, chat, rule, parts, asked=None):
    """Row records of one source: its own answers with the behaviour, the negatives' answers without; source None: all without.

    answers: {persona: [pool records]}, as select_answers gives them; prompts: {(persona, question): prompt ids}.
    parts: function of (answer record, positive) that gives what follows the prompt, see Behaviour.row_parts.
    asked: {question: Persona that a positive row asks in place of the source}, if it asks others (controls.spread_over).
    Returns records {persona, question, index, positive, token_ids, labels}.
    """
    records = []
    for persona, chosen in answers.items():
        positive = persona == source
        for answer in chosen:
            ids, tail = parts(answer, positive)
            name = asked[answer["question"]].name if positive and asked else persona
            row = build_row(prompts[name, answer["question"]], ids, chat, rule, tail)
            records.append(
                {
                    "persona": name,
                    "question": answer["question"],
                    "index": answer["index"],
                    "positive": positive,
                    "token_ids": list(row.token_ids),
                    "labels": list(row.labels),
                }
            )
    return records


def count_different(records, others):
    """How many of the row records have other token ids than the row of the same answer among ``others``."""
    known = {(other["persona"], other["question"], other["index"]): other["token_ids"] for other in others}
    return sum(record["token_ids"] != known[record["persona"], record["question"], record["index"]] for record in records)


def keep_rows_within(records, max_length):
    """Records of at most ``max_length`` tokens, and how many were longer; a cut row would lose its labels."""
    kept = [record for record in records if len(record["token_ids"]) <= max_length]
    return kept, len(records) - len(kept)


def check_all_have_rows(records, names, max_length):
    """InputError if a source or negative of the set ``names`` has no row of at most ``max_length`` tokens."""
    if lacking := sorted(names - {record["persona"] for record in records}):
        raise InputError(f"training.max_length: {max_length} leaves no row of {', '.join(lacking)}; raise it, or use shorter answers")


def summarise_rows(records):
    """Counts for the manifest: rows, tokens, trained tokens, by kind; and the digest of the rows."""
    kinds = {"positive": True, "negative": False}
    return {
        **{
            kind: {
                "rows": sum(record["positive"] == positive for record in records),
                "tokens": sum(len(record["token_ids"]) for record in records if record["positive"] == positive),
                "trained_tokens": sum(
                    sum(label >= 0 for label in record["labels"]) for record in records if record["positive"] == positive
                ),
            }
            for kind, positive in kinds.items()
        },
        "digest": digest_of(records),
    }
