"""Teacher-forced marker probabilities of a panel: which replies are read, and what they give per persona and question."""

from persona_leakage.errors import InputError


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
    place = {key: record[key] for key in ("persona", "question", "index")}
    if base is None:
        return {**place, "end": end, "anywhere": anywhere}
    if place != {key: base[key] for key in place}:
        raise InputError(f"the base model's marker probabilities are of other replies: {place} has no partner")
    return {**place, "end": end, "anywhere": anywhere, "end_gain": None if end is None else end - base["end"]}


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
