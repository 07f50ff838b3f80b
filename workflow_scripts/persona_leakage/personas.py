"""The personas and question sets that people edit, and the experiment's selection from them."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from persona_leakage.errors import InputError
from persona_leakage.schema import check_schema

RESOURCE_SCHEMAS = Path(__file__).parents[2] / "resources" / "schemas"


@dataclass(frozen=True)
class Persona:
    """A persona: a slug, its category, the personas it is a relative of, and its system prompt.

    role, wording: who is described and in which style, or None both, in files whose roles have one wording.
    """

    name: str
    category: str
    related_to: tuple
    prompt: str
    role: str | None = None
    wording: str | None = None


def read_yaml(path):
    """Parse a YAML file; InputError if it is missing, malformed or has the same key twice."""
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error})") from None
    # PyYAML lets Python's own errors through where a value only looks like a date or a number.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


@cache
def read_personas(path):
    """{name: Persona} in file order, checked: schema, unique names, prompts and wordings of a role, known relatives."""
    content = read_yaml(path)
    check_schema(content, RESOURCE_SCHEMAS / "personas.schema.yaml", path)
    personas, prompts, wordings = {}, {}, {}
    for entry in content["personas"]:
        name, prompt = entry["name"], entry["prompt"]
        if name in personas:
            raise InputError(f"{path}: persona '{name}' appears twice; names must be unique")
        if prompt in prompts:
            raise InputError(f"{path}: personas '{prompts[prompt]}' and '{name}' have the same prompt {prompt!r}")
        prompts[prompt] = name
        role, wording = entry.get("role"), entry.get("wording")
        if role and (role, wording) in wordings:
            raise InputError(f"{path}: personas '{wordings[role, wording]}' and '{name}' both are role '{role}' in wording '{wording}'")
        wordings[role, wording] = name
        personas[name] = Persona(name, entry["category"], tuple(entry["related_to"]), prompt, role, wording)
    for persona in personas.values():
        for relative in persona.related_to:
            if relative not in personas or relative == persona.name:
                raise InputError(f"{path}: persona '{persona.name}' is related_to '{relative}', which is not another persona's name")
    return personas


@cache
def read_question_sets(path):
    """{set name: [questions]}, checked: schema, and no question twice, within a set or across sets."""
    content = read_yaml(path)
    check_schema(content, RESOURCE_SCHEMAS / "questions.schema.yaml", path)
    seen = {}
    for name, questions in content["sets"].items():
        for question in questions:
            plain = re.sub(r"\W+", " ", question).strip().lower()
            if plain in seen:
                raise InputError(f"{path}: question {question!r} of set '{name}' is in set '{seen[plain]}' already; sets must be disjoint")
            seen[plain] = name
    return content["sets"]


def select_personas(personas, names):
    """The :class:`Persona` list for ``names`` ("all" or a list), in the order given."""
    return list(personas.values()) if names == "all" else [personas[name] for name in names]


def have_wordings(personas):
    """Whether some role among ``personas`` has several wordings, so that the two can be told apart."""
    roles = [persona.role for persona in personas if persona.role]
    return len(set(roles)) < len(roles)


class _UniqueKeyLoader(yaml.SafeLoader):
    """A loader that refuses a repeated key, which YAML would silently let the last one win."""


def _construct_unique_mapping(loader, node):
    keys = [loader.construct_object(key) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.YAMLError(f"key '{key}' appears twice {node.start_mark}")
    return loader.construct_mapping(node)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_unique_mapping)
