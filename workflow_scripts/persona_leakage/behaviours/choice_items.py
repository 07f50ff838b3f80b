"""Multiple-choice items: reading and checking a file, and its two disjoint parts."""

from dataclasses import dataclass
from typing import Literal

from pydantic import model_validator

from persona_leakage.config.blocks.fields import Block, Line, Written, refuse
from persona_leakage.config.json_lines import read_json_lines
from persona_leakage.config.messages import parse
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.look_alikes import folded, same_option
from persona_leakage.infrastructure.seeds import derive_seed
from persona_leakage.models.chat_template import control_ids
from persona_leakage.models.tokenizer_checks import check_texts

MOST_OPTIONS = 26  # letters
PARTS = ("train", "evaluate")


@dataclass(frozen=True)
class Item:
    """A multiple-choice item. answer: place of the right option in ``choices``, from 0; part: train, evaluate, None; line: in its file."""

    id: str
    question: str
    choices: tuple
    answer: int
    part: str | None
    line: int

    @property
    def content(self):
        """What makes two items the same one: the question and the options, whatever their order, case and spelling."""
        return folded(self.question), tuple(sorted(map(folded, self.choices)))


class NativeItem(Block):
    """A line of a native file; answer is the place of the right option, from 0."""

    id: Line
    question: Written
    choices: list[Written]
    answer: int
    part: Literal[PARTS] | None = None

    @model_validator(mode="after")
    def check_answer(self):
        """The answer is one of the options."""
        check_choices("choices", self.choices)
        if not 0 <= self.answer < len(self.choices):
            refuse("answer", f"{self.answer} is not a position in choices; use 0 to {len(self.choices) - 1}")
        return self

    def options(self):
        """(texts, place of the right one)."""
        return self.choices, self.answer


class ArcChoices(Block):
    """The options of a line in ARC's format."""

    text: list[Written]
    label: list[str]


class ArcItem(Block):
    """A line of ARC (Clark et al. 2018, arXiv:1803.05457) as its data set has it; labels are A to E or 1 to 5, here by place."""

    id: Line
    question: Written
    choices: ArcChoices
    answerKey: str
    part: Literal[PARTS] | None = None

    @model_validator(mode="after")
    def check_answer(self):
        """Every option has a label of its own, and answerKey is one of them."""
        texts, labels = self.choices.text, self.choices.label
        check_choices("choices.text", texts)
        if len(texts) != len(labels):
            refuse("choices.label", f"has {len(labels)} labels for {len(texts)} options; give each option one")
        if len(set(labels)) < len(labels):
            refuse("choices.label", f"{labels} must be unique")
        if self.answerKey not in labels:
            refuse("answerKey", f"{self.answerKey!r} is not a label; use one of {', '.join(labels)}")
        return self

    def options(self):
        """(texts, place of the right one)."""
        return self.choices.text, self.choices.label.index(self.answerKey)


def check_choices(key, texts):
    """For validators: 2 to MOST_OPTIONS options, no two alike."""
    if not 2 <= len(texts) <= MOST_OPTIONS:
        refuse(key, f"has {len(texts)} options; an item needs 2 to {MOST_OPTIONS}")
    known = {}
    for text in texts:
        if same_option(text) in known:
            refuse(key, f"options {known[same_option(text)]!r} and {text!r} are the same; change or remove one")
        known[same_option(text)] = text


def read_items(path):
    """The :class:`Item` list of a file of JSON lines, native or ARC's; InputError with file, line and key of what is wrong."""
    items, known = [], {}
    for number, content in read_json_lines(path):
        item = read_item(content, f"{path}, line {number}", number)
        first = known.setdefault(folded(item.id), item)
        if first is not item:
            raise InputError(f"{path}, line {number}: id: {item.id!r} is or looks like the id of line {first.line}; ids must be unique")
        items.append(item)
    if not items:
        raise InputError(f"{path}: has no items; give one JSON object per line")
    given = [item.part is not None for item in items]
    if any(given) and not all(given):
        first = items[given.index(False)]
        raise InputError(f"{path}, line {first.line}: part: missing, but other lines have one; give it in all lines, or in none")
    return items


def read_item(content, place, number):
    """The :class:`Item` of one line's object."""
    found = parse(ArcItem if isinstance(content.get("choices"), dict) else NativeItem, content, place)
    texts, answer = found.options()
    return Item(found.id, found.question.strip(), tuple(map(str.strip, texts)), answer, found.part, number)


def split_items(path, items, train, evaluate):
    """{"train": [...], "evaluate": [...]}: this many items of each part, in the order of a hash of their content.

    Without parts in the file, train takes the first and evaluate the last items of that order. So a larger file or count keeps
    most choices. InputError if there are too few, or if an item is in both parts.
    """
    ordered = sorted(items, key=lambda item: (derive_seed("choice items", item.question, *item.choices), item.id))
    if items[0].part is None:
        if train + evaluate > len(items):
            raise InputError(
                f"behaviour.train: {train} and behaviour.evaluate: {evaluate} need {train + evaluate} items; {path} has {len(items)}"
            )
        chosen = {"train": ordered[:train], "evaluate": ordered[len(ordered) - evaluate :]}
    else:
        chosen = {}
        for part, wanted in (("train", train), ("evaluate", evaluate)):
            there = [item for item in ordered if item.part == part]
            if wanted > len(there):
                raise InputError(f"behaviour.{part}: {wanted} is more than the {len(there)} items of {path} with part: {part}")
            chosen[part] = there[:wanted]
    known = {item.content: item for item in chosen["train"]}
    for item in chosen["evaluate"]:
        if twin := known.get(item.content):
            raise InputError(
                f"{path}, line {item.line}: question: {item.question!r} with the same options is a training item in line {twin.line};"
                " remove one, or give both the same part"
            )
    return chosen


def read_parts(path, train, evaluate):
    """As split_items, from the file."""
    return split_items(path, read_items(path), train, evaluate)


def item_texts(items, path):
    """[(place, text)] of everything that the items show a model."""
    return [(f"{path}, line {item.line}", text) for item in items for text in (item.question, *item.choices)]


def check_item_texts(tokenizer, items, path):
    """InputError if the tokenizer loses part of a question or option, or if one holds a control token."""
    check_texts(tokenizer, item_texts(items, path), control_ids(tokenizer))
