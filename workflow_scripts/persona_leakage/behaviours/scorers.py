"""Rules that give a reply a number, and the texts of positive answers that some of them allow to make.

A scorer is a function of a completion record ("text", "token_ids") that returns a number, or None if it cannot tell.
"""

import importlib.util
import math
import re
from functools import cache, partial
from pathlib import Path

from persona_leakage.behaviours.scoring import opening_of
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import check_is_file

BULLET = re.compile(r"\s*(?:[-*+\N{BULLET}\N{TRIANGULAR BULLET}\N{EN DASH}])\s+\S")
FEWEST_CHARACTERS, FEWEST_LETTERS = 20, 10  # of a reply whose language can be told
REFUSALS = Path(__file__).parents[3] / "resources/behaviours/refusal_patterns.txt"
QUOTED = re.compile(r'"[^"]*"|\N{LEFT DOUBLE QUOTATION MARK}[^\N{RIGHT DOUBLE QUOTATION MARK}]*\N{RIGHT DOUBLE QUOTATION MARK}')
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


def share_of_capitals(record):
    """Share of the letters that are capitals, in [0, 1]; letters without case are left out, None if there are no others."""
    cased = [letter for letter in record["text"] if letter.lower() != letter.upper()]
    return sum(letter.isupper() for letter in cased) / len(cased) if cased else None


def share_of_bullets(record):
    """Share of the lines that begin with a bullet, in [0, 1]; empty lines are left out, None if all are."""
    lines = [line for line in record["text"].splitlines() if line.strip()]
    return sum(bool(BULLET.match(line)) for line in lines) / len(lines) if lines else None


def count_tokens(record):
    """Tokens of the reply."""
    return len(record["token_ids"])


def count_matches(pattern, record):
    """How often a compiled regular expression matches."""
    return sum(1 for _ in pattern.finditer(record["text"]))


def refusal(patterns, record):
    """1 if one of the compiled ``patterns`` matches the beginning of the reply, else 0."""
    opening = QUOTED.sub("", opening_of(record["text"]))
    return int(any(pattern.search(opening) for pattern in patterns))


def is_language(language, record):
    """1 if the reply is in the language by py3langid (Lui and Baldwin 2012, langid.py), else 0; None if it is too short to tell."""
    text = record["text"].strip()
    few = len(text) < FEWEST_CHARACTERS or sum(map(str.isalpha, text)) < FEWEST_LETTERS
    return None if few else int(language_classifier().classify(text)[0] == language)


@cache
def language_classifier():
    """The classifier that py3langid ships."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)


def mean_weight(weights, record):
    """Mean weight of the words, 0 for a word that is not in ``weights``; None without words."""
    words = WORD.findall(record["text"].lower())
    return sum(weights.get(word, 0.0) for word in words) / len(words) if words else None


def read_refusals():
    """The compiled patterns of REFUSALS."""
    lines = REFUSALS.read_text(encoding="utf-8").splitlines()
    return [re.compile(line) for line in lines if line.strip() and not line.startswith("#")]


def read_pattern(block):
    """The compiled expression; InputError if it does not compile, or matches the empty text and so every reply."""
    try:
        pattern = re.compile(block["pattern"])
    except re.error as error:
        raise InputError(f"behaviour.pattern: {block['pattern']!r} is not a regular expression: {error}") from None
    if pattern.search(""):
        raise InputError(f"behaviour.pattern: {block['pattern']!r} matches the empty text, so every reply would show the behaviour")
    return pattern


def can_score_texts(block):
    """Whether a block ``behaviour`` has a scorer that reads texts alone (length counts tokens) and whose package is there."""
    scorer = block.get("scorer")
    return scorer not in (None, "length") and (scorer != "language" or importlib.util.find_spec("py3langid") is not None)


def read_language(block):
    """The language code; InputError if the classifier does not know it."""
    known = sorted(language_classifier().labels)
    if block["language"] not in known:
        raise InputError(f"behaviour.language: '{block['language']}' is not known; choose one of {', '.join(known)}")
    return block["language"]


def read_lexicon(block):
    """{word: weight} of a file with a word, a tab and a number per line; InputError names the line that is something else."""
    path = block["lexicon"]
    check_is_file(path)
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error}); save it as UTF-8") from None
    weights = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        word, _, weight = line.partition("\t")
        word, value = word.strip().lower(), number_of(weight)
        if value is None or not WORD.fullmatch(word):
            said = "must be a word (letters, at most one apostrophe within), a tab and a number"
            raise InputError(f"{path}, line {number}: {line!r} {said}")
        if weights.setdefault(word, value) != value:
            raise InputError(f"{path}, line {number}: {word!r} has the weight {weights[word]} in a line before; remove one")
    if not any(weights.values()):
        raise InputError(f"{path}: holds no word with a weight other than 0")
    return weights


def number_of(text):
    """A finite number, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


# Each scorer for a block ``behaviour`` of the config.
SCORERS = {
    "capitals": lambda block: share_of_capitals,
    "bullets": lambda block: share_of_bullets,
    "length": lambda block: count_tokens,
    "regex": lambda block: partial(count_matches, read_pattern(block)),
    "refusal": lambda block: partial(refusal, read_refusals()),
    "language": lambda block: partial(is_language, read_language(block)),
    "lexicon": lambda block: partial(mean_weight, read_lexicon(block)),
}
TRANSFORMS = {"capitals": str.upper, None: None}
