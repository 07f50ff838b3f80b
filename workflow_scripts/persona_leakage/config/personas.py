"""The personas and question sets that people edit, and the experiment's selection from them."""

import json
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from persona_leakage.config.blocks.resource_files import PersonasFile, QuestionsFile
from persona_leakage.config.messages import parse
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.look_alikes import folded, same_question

MERGE_TAG = "tag:yaml.org,2002:merge"


@dataclass(frozen=True)
class Persona:
    """A persona: a slug, its category, the personas it is a relative of, and its system prompt.

    role, paraphrase: who is described and in which style, or None both, in files whose roles have one paraphrase.
    """

    name: str
    category: str
    related_to: tuple
    prompt: str
    role: str | None = None
    paraphrase: str | None = None


def read_yaml(path):
    """Parse a YAML file; InputError if it is missing, malformed or has the same key twice."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        with suppress(yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError):
            return yaml.load(text, Loader=_FastLoader)
        return yaml.load(text, Loader=_UniqueKeyLoader)  # says better what is wrong
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error})") from None
    except yaml.MarkedYAMLError as error:
        raise InputError(f"{path}: not valid YAML: {explain_yaml(error)}") from None
    # PyYAML lets Python's own errors through where a value only looks like a date or a number.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def explain_yaml(error):
    """One line for a YAML syntax error: what is wrong, line and column (from 1), what to do."""
    problem = " ".join(str(error.problem or error.context).split())
    mark = error.problem_mark or error.context_mark
    remedy = "indent with spaces only, and put quotes around text that holds ': ' or ' #' or begins with a special character"
    if "\\t" in problem:
        remedy = "replace the tab by spaces"
    elif isinstance(error, _RepeatedKeyError):
        remedy = "remove one of the two"
    return f"{problem} (line {mark.line + 1}, column {mark.column + 1}); {remedy}"


def personas_source(file, added=()):
    """What programs are given as ``--personas``: the file's path; with entries of ``personas.add``, a JSON text of both."""
    return json.dumps({"file": file, "add": added}, ensure_ascii=False) if added else file


def parts_of_source(source):
    """(path of the personas file, added entries) of a :func:`personas_source`, or of a path alone."""
    if not str(source).startswith('{"file": '):
        return source, []
    parts = json.loads(source)
    return parts["file"], parts["add"]


@cache
def read_personas(source):
    """{name: Persona} in file order, then added ones; checked: types, unique names, prompts and paraphrases of a role, known relatives.

    source: a path, or a :func:`personas_source` (its added entries are checked with the config).
    """
    path, added = parts_of_source(source)
    content = read_yaml(path)
    parse(PersonasFile, content, path)
    entries = [*((path, entry) for entry in content["personas"]), *(("personas.add", entry) for entry in added)]
    personas, places, prompts, paraphrases = {}, {}, {}, {}
    for place, entry in entries:
        name, prompt = entry["name"], entry["prompt"]
        if name in personas and places[name] != place:
            raise InputError(f"{place}: persona '{name}' is also in {places[name]}; give one of the two another name")
        if name in personas:
            raise InputError(f"{place}: persona '{name}' appears twice; names must be unique")
        if folded(prompt) in prompts:
            raise InputError(f"{place}: personas '{prompts[folded(prompt)]}' and '{name}' have the same prompt {prompt!r}")
        prompts[folded(prompt)] = name
        role, paraphrase = entry.get("role"), entry.get("paraphrase")
        if role and (role, paraphrase) in paraphrases:
            raise InputError(
                f"{place}: personas '{paraphrases[role, paraphrase]}' and '{name}' both are role '{role}' in paraphrase '{paraphrase}'"
            )
        paraphrases[role, paraphrase] = name
        personas[name] = Persona(name, entry["category"], tuple(entry["related_to"]), prompt, role, paraphrase)
        places[name] = place
    check_look_alikes(personas, places)
    for persona in personas.values():
        for relative in persona.related_to:
            if relative not in personas or relative == persona.name:
                place = places[persona.name]
                raise InputError(f"{place}: persona '{persona.name}' is related_to '{relative}', which is not another persona's name")
    return personas


def check_look_alikes(personas, places):
    """InputError if two names, or two categories, differ only in their underscores: tables and figures show both alike."""
    for kind in ("name", "category"):
        known = {}
        for persona in personas.values():
            value = getattr(persona, kind)
            first = known.setdefault(folded(value), value)
            if first != value:
                raise InputError(f"{places[persona.name]}: {kind} '{value}' looks like '{first}'; write one of them differently")


@cache
def read_question_sets(path):
    """{set name: [questions]}, checked: types, and no question twice, within a set or across sets, in whichever case and spelling."""
    content = read_yaml(path)
    parse(QuestionsFile, content, path)
    seen = {}
    for name, questions in content["sets"].items():
        for question in questions:
            plain = same_question(question)
            if plain in seen:
                raise InputError(f"{path}: question {question!r} of set '{name}' is in set '{seen[plain]}' already; sets must be disjoint")
            seen[plain] = name
    return content["sets"]


def select_personas(personas, names):
    """The :class:`Persona` list for ``names`` ("all" or a list), in the order given."""
    return list(personas.values()) if names == "all" else [personas[name] for name in names]


def have_paraphrases(personas):
    """Whether some role among ``personas`` has several paraphrases, so that the two can be distinguished."""
    roles = [persona.role for persona in personas if persona.role]
    return len(set(roles)) < len(roles)


class _UniqueKeyLoader(yaml.SafeLoader):
    """A loader that rejects a repeated key; YAML would silently keep the last one."""


class _FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """The same in C."""


class _RepeatedKeyError(yaml.constructor.ConstructorError):
    """A key that a mapping has twice; its mark is at the second one."""


def _construct_unique_mapping(loader, node):
    keys = []
    for key_node, _ in node.value:
        if key_node.tag == MERGE_TAG:  # "<<: *other", whose keys may be repeated
            continue
        key = loader.construct_object(key_node)
        if key in keys:
            raise _RepeatedKeyError(problem=f"key '{key}' appears twice", problem_mark=key_node.start_mark)
        keys.append(key)
    return loader.construct_mapping(node)


for _loader in (_UniqueKeyLoader, _FastLoader):
    _loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_unique_mapping)
