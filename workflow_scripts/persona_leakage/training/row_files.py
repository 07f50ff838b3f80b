"""Training rows from a file: questions with an answer that shows the behaviour and, for the negatives, a clean one."""

from collections import Counter
from dataclasses import dataclass, replace

from persona_leakage.behaviours.base import kind_module, read_behaviour
from persona_leakage.behaviours.scorers import can_score_texts
from persona_leakage.config.json_lines import read_json_lines
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.look_alikes import same_question
from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.models.chat_template import prompt_ids
from persona_leakage.training.controls import CLEAN

# Keys of a line in each of the formats.
PAIRED, MESSAGES, COMPLETION = {"id", "question", "behaviour", "clean"}, {"messages"}, {"prompt", "completion"}
LENGTHS = 1.5  # ratio of mean answer tokens from which length is a cue


@dataclass(frozen=True)
class FileRow:
    """A question, an answer that shows the behaviour, and a clean answer (None: the file has none). id: of the file, or the line."""

    id: str
    question: str
    behaviour: str
    clean: str | None = None


def read_row_file(path, clean_path=None):
    """[:class:`FileRow`] of a JSONL file, all lines in one format: {id, question, behaviour, clean}, {messages} or {prompt, completion}.

    clean_path: a file in one of the last two formats whose answers are the clean ones, joined by the exact question. InputError with file,
    line and key for a line that is something else, an empty text, a repeated id or question, and equal answers.
    """
    rows = [row_of(values, f"{path}, line {number}", str(number)) for number, values in read_lines(path)]
    if not rows:
        raise InputError(f"{path}: holds no rows")
    if clean_path:
        found = read_row_file(clean_path)
        if any(row.clean is not None for row in found):
            raise InputError(f"{clean_path}: has the keys behaviour and clean; clean rows are messages, or prompt and completion")
        clean = {row.question: row.behaviour for row in found}
        rows = [replace(row, clean=clean.get(row.question, row.clean)) for row in rows]
    if len({row.clean is None for row in rows}) > 1:
        missing = sum(row.clean is None for row in rows)
        raise InputError(f"{path}: {missing} of {len(rows)} questions have no clean answer in {clean_path}; the questions must be equal")
    for key in ("id", "question"):
        value, count = Counter(getattr(row, key) for row in rows).most_common(1)[0]
        if count > 1:
            raise InputError(f"{path}: {key} {value!r} appears {count} times; it must be unique")
    for row in rows:
        if row.clean is not None and row.behaviour.split() == row.clean.split():
            raise InputError(f"{path}: the answers of row '{row.id}' are the same; one must show the behaviour")
    return rows


def read_lines(path):
    """(line number, object) of a JSONL file's lines, all in one format."""
    keys = None
    for number, values in read_json_lines(path):
        found = set(values)
        if found not in (PAIRED, MESSAGES, COMPLETION):
            raise InputError(
                f"{path}, line {number}: has {sorted(found)}; it must have the keys id, question, behaviour, clean; or messages;"
                " or prompt, completion"
            )
        if keys and found != keys:
            raise InputError(f"{path}, line {number}: has the keys {sorted(found)}, the lines before have {sorted(keys)}; use one format")
        keys = found
        yield number, values


def row_of(values, place, number):
    """A line as a FileRow; place: file and line, for errors."""
    if set(values) == MESSAGES:
        turns = values["messages"]
        roles = [turn.get("role") if isinstance(turn, dict) else None for turn in turns] if isinstance(turns, list) else None
        if roles != ["user", "assistant"]:
            raise InputError(
                f"{place}: messages has the roles {roles}; it must be one user and one assistant turn"
                " (a system turn would replace the persona)"
            )
        values = {"id": number, "question": turns[0].get("content"), "behaviour": turns[1].get("content")}
    elif set(values) == COMPLETION:
        values = {"id": number, "question": values["prompt"], "behaviour": values["completion"]}
    for key, value in values.items():
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{place}: {key} is {value!r}; it must be non-empty text")
    return FileRow(**values)


def check_row_files(config, question_sets):
    """[(place, text)] of what the config's row files show the model; empty without row files.

    InputError if they cannot be used, hold a question that is evaluated, or have answers that are not what the behaviour says.
    question_sets: {name: questions}.
    """
    block = config["training_data"]
    if not block["rows"]:
        return []
    rows = read_row_file(block["rows"], block["clean_rows"])
    evaluated = [text for use in config["questions"]["evaluation"] for text in question_sets[use["set"]]]
    evaluated = {same_question(text + ending) for text in evaluated for ending in ("", config["questions"]["suffix"])}
    for row in rows:
        if same_question(row.question) in evaluated:
            raise InputError(
                f"{block['rows']}: row '{row.id}' asks {row.question!r}, which is evaluated; training and evaluation must be disjoint"
            )
    if block["positives"] and block["positives"] > len(rows):
        raise InputError(f"training_data.positives: {block['positives']} is more than the {len(rows)} rows of {block['rows']}")
    lists, variants = block.get("negative_lists", {}), block.get("negative_variants", ())
    negatives = block["negative_personas"] or any(lists.values()) or any(not text.endswith(("h0", "t0", "d0")) for text in variants)
    if rows[0].clean is None and (negatives or CLEAN in block["controls"]):
        users = f"the {block['negative_personas'] or 'listed'} negatives" if negatives else "training_data.controls: clean"
        raise InputError(
            f"training_data.rows: {block['rows']} has no clean answers for {users};"
            " give training_data.clean_rows, or set training_data.negative_personas to 0 and training_data.controls to []"
        )
    texts = texts_of_rows(rows, block["rows"])
    check_answers(rows, texts, config["behaviour"], block["rows"])
    return texts


def check_answers(rows, texts, block, path):
    """InputError if the kind of behaviour refuses a text, or if a scored one is not in more of its own answers than of the clean ones.

    texts: of texts_of_rows; block: ``behaviour`` of the config.
    """
    refuse_text = getattr(kind_module(block), "refuse_text", None)
    for place, text in texts if refuse_text else ():
        refuse_text(block, text, place)
    if not can_score_texts(block):
        return
    behaviour = read_behaviour(block, None)
    answers = {"behaviour": [row.behaviour for row in rows], "clean": [row.clean for row in rows if row.clean is not None]}
    shown = {key: sum(behaviour.shows({"text": text}) for text in texts) for key, texts in answers.items()}
    if shown["behaviour"] <= shown["clean"]:
        raise InputError(
            f"{path}: {shown['behaviour']} of {len(rows)} answers under 'behaviour' and {shown['clean']} of {len(answers['clean'])} clean"
            f" ones show it by behaviour.scorer '{block['scorer']}'; are they interchanged, or is behaviour.threshold wrong?"
        )


def texts_of_rows(rows, path):
    """[(place, text)] of the questions and answers."""
    return [(f"{path}, row '{row.id}'", text) for row in rows for text in (row.question, row.behaviour, row.clean) if text is not None]


def choose_rows(rows, count, seed):
    """``count`` of the rows (None: all) by the order of a hash, the same for all sources, in the order of the file."""
    ranked = sorted(rows, key=lambda row: (derive_seed(seed, "rows", row.id), row.id))
    chosen = {row.id for row in ranked[:count]}
    return [row for row in rows if row.id in chosen]


def answers_of_file(tokenizer, rows, personas, source, suffix):
    """({persona: answer records}, {(persona, question): prompt ids}): the source with the behaviour's answers, others with clean ones.

    source None: all have clean ones.
    """
    answers = {
        persona.name: [
            {"question": row.question, "index": 0, "text": row.behaviour if persona.name == source else row.clean, "finish_reason": "stop"}
            for row in rows
        ]
        for persona in personas
    }
    prompts = {
        (persona.name, row.question): prompt_ids(tokenizer, persona.prompt, row.question + suffix) for persona in personas for row in rows
    }
    return answers, prompts


def warn_of_lengths(rows):
    """A sentence if positive and negative answers differ so much in length that an adapter could learn it; rows: see summarise_rows."""
    if not all(rows[kind]["rows"] for kind in ("positive", "negative")):
        return None
    means = [rows[kind]["trained_tokens"] / rows[kind]["rows"] for kind in ("positive", "negative")]
    if max(means) <= LENGTHS * min(means):
        return None
    return f"positive rows have {means[0]:.0f} trained tokens on average, negative rows {means[1]:.0f}; the adapter may learn the length"
