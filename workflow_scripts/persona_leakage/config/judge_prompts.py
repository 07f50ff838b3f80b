"""A judge's prompts and labelled replies, read from files.

Prompts come in the project's own YAML or, read as they are, in the question YAML of Betley et al. (2025, arXiv:2502.17424) or the trait
JSON of Chen et al. (2025, arXiv:2507.21509).
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from persona_leakage.config.json_lines import read_json_lines
from persona_leakage.config.personas import read_yaml
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import check_is_file, digest_of

SLOT = re.compile(r"\{(question|answer)\}")
OTHER_SLOT = re.compile(r"\{([A-Za-z_]\w*)\}")
STATES = ("model_refused", "off_task")
ORIGINAL_SCALE, ORIGINAL_WORDS = (0, 100), {"REFUSAL": "model_refused", "CODE": "off_task"}
KEYS = {"name", "scale", "words", "template"}


@dataclass(frozen=True)
class Score:
    """One question to the judge.

    scale: (lowest, highest) whole number. words: {word that the judge may answer instead: state}. fenced: whether the reply stands
    between delimiters that it cannot hold; templates of others stay as they are.
    """

    name: str
    scale: tuple
    words: dict
    template: str
    fenced: bool

    def fill(self, question, answer):
        """The prompt for a reply, in one pass: a reply that holds a slot's name stays as it is."""
        if self.fenced:
            mark = reply_digest(question, answer)
            answer = f"<reply {mark}>\n{answer}\n</reply {mark}>"
        texts = {"question": question, "answer": answer}
        return SLOT.sub(lambda slot: texts[slot[1]], self.template)

    def choices(self):
        """All answers that the judge may give, as texts."""
        return [*map(str, range(self.scale[0], self.scale[1] + 1)), *self.words]


def reply_digest(question, answer):
    """16 hex digits of a question and a reply."""
    return digest_of([question, answer])[:16]


def read_prompts(path):
    """{name: :class:`Score`} of a prompts file; InputError with file and key."""
    check_is_file(path)
    if path.endswith(".json"):
        content = read_trait(path)
    else:
        content = read_yaml(path)
        if isinstance(content, list):
            content = read_questions(content, path)
    entries = content.get("scores") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path}: must hold a list scores, each with {', '.join(sorted(KEYS))}")
    scores = [score_of(entry, f"{path}, score {number}", content.get("original", False)) for number, entry in enumerate(entries, 1)]
    names = [score.name for score in scores]
    if len(set(names)) < len(names):
        raise InputError(f"{path}: a score's name appears twice in {names}")
    return dict(zip(names, scores, strict=True))


def score_of(entry, place, original):
    """An entry of a prompts file as a Score."""
    if not isinstance(entry, dict) or not {"name", "scale", "template"} <= set(entry) <= KEYS:
        raise InputError(
            f"{place}: has {sorted(entry) if isinstance(entry, dict) else entry!r}; it must have name, scale, template, maybe words"
        )
    name, scale, words, template = entry["name"], entry["scale"], entry.get("words", {}), entry["template"]
    if not isinstance(name, str) or not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise InputError(f"{place}: name: {name!r} must be small letters, digits and _, beginning with a letter")
    if not (isinstance(scale, list) and len(scale) == 2 and all(type(end) is int for end in scale) and 0 <= scale[0] < scale[1] <= 1000):
        raise InputError(f"{place}: scale: {scale!r} must be two whole numbers from 0 to 1000, the lower first, such as [0, 100]")
    for word, state in words.items() if isinstance(words, dict) else [(words, None)]:
        if state not in STATES or not isinstance(word, str) or not word.strip() or re.fullmatch(r"[\d.,]+", word):
            raise InputError(f"{place}: words: {word!r}: {state!r} must be a word, not a number, and one of {', '.join(STATES)}")
    check_template(template, f"{place}: template")
    return Score(name, tuple(scale), dict(words), template, not original)


def check_template(template, place):
    """InputError unless a template holds both slots and no other."""
    if not isinstance(template, str):
        raise InputError(f"{place}: {template!r} must be text")
    missing = [f"{{{slot}}}" for slot in ("question", "answer") if slot not in SLOT.findall(template)]
    others = sorted(set(OTHER_SLOT.findall(template)) - {"question", "answer"})
    if missing or others:
        said = f"lacks {' and '.join(missing)}" if missing else f"has the unknown slot {{{others[0]}}}"
        raise InputError(f"{place}: {said}; it must hold {{question}} and {{answer}}, and no other name in braces")


def read_questions(content, path):
    """Betley's list of questions as the content of a prompts file: the judge_prompts, which all questions must share."""
    found = [entry["judge_prompts"] for entry in content if isinstance(entry, dict) and entry.get("judge_prompts")]
    if not found or not all(isinstance(prompts, dict) for prompts in found):
        raise InputError(f"{path}: is a list in which no question has judge_prompts; give a file of scores, or Betley's questions")
    if other := [entry["id"] for entry in content if entry.get("judge_prompts") not in (None, found[0])]:
        raise InputError(f"{path}: question {other[0]!r} has different judge_prompts from the first; put it into a file of its own")
    return {"original": True, "scores": [original_score(name, template) for name, template in found[0].items()]}


def read_trait(path):
    """The trait JSON of persona_vectors as the content of a prompts file: its eval_prompt, named by the file."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(content, dict) or not isinstance(content.get("eval_prompt"), str):
        raise InputError(f"{path}: has no text eval_prompt; give a trait file of persona_vectors, or a YAML file of scores")
    return {"original": True, "scores": [original_score(Path(path).stem, content["eval_prompt"])]}


def original_score(name, template):
    """A template of the originals, with those of their words that it mentions."""
    words = {word: state for word, state in ORIGINAL_WORDS.items() if re.search(rf"\b{word}\b", str(template))}
    return {"name": name, "scale": list(ORIGINAL_SCALE), "words": words, "template": template}


def check_scores(scores, path, name, threshold, require):
    """InputError unless the file has the scores that a behaviour uses, with thresholds on their scales."""
    limits = [("score", name, "threshold", threshold), *(("require", each, "require", limit) for each, limit in require.items())]
    for named, score, limited, number in limits:
        if score not in scores:
            raise InputError(f"{named}: '{score}' is not a score in {path}; it has {', '.join(scores)}")
        low, high = scores[score].scale
        if not low <= number <= high:
            raise InputError(f"{limited}: {number} is not on the scale of '{score}', {low} to {high}, in {path}")


def read_labelled(path, keys):
    """The objects of a JSONL file whose lines must have ``keys``."""
    rows = []
    for number, row in read_json_lines(path):
        if not keys <= set(row) or not all(isinstance(row[key], str) for key in ("question", "answer")):
            raise InputError(f"{path}, line {number}: must have the keys {', '.join(sorted(keys))}, question and answer being texts")
        rows.append(row)
    return rows


def read_gold(path):
    """[{"question", "answer", "label"}] of labelled replies; InputError unless both labels occur."""
    rows = read_labelled(path, {"question", "answer", "label"})
    if {row["label"] for row in rows if isinstance(row["label"], bool)} != {True, False} or not all(
        isinstance(row["label"], bool) for row in rows
    ):
        raise InputError(f"{path}: label must be true in some lines and false in others")
    return rows
