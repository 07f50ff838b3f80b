"""Contents of YAML and JSON as typed models; errors name the key, the value found and what is allowed."""

import datetime
import difflib
import re
from typing import get_args

from pydantic import Tag, ValidationError

from persona_leakage.config.blocks.fields import PATTERNS, Block
from persona_leakage.config.old_keys import OLD_KEYS
from persona_leakage.infrastructure.cli import InputError, shorten

# What a value must be, by pydantic's name of the error.
WANTED = {
    "int_type": "a whole number (integer)",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text (string)",
    "bool_type": "true or false (boolean)",
    "list_type": "a list (array)",
    "dict_type": "a block of keys and values (object)",
    "model_type": "a block of keys and values (object)",
}
SIGNS = {
    "greater_than_equal": (">=", "ge"),
    "greater_than": (">", "gt"),
    "less_than_equal": ("<=", "le"),
    "less_than": ("<", "lt"),
}
TOP = "(top level)"


def parse(model, content, name):
    """``content`` as the model; InputError with one line per problem, each naming its key.

    name: what the content is called in the messages (a file's path).
    """
    if problems := list(odd_texts(content)):
        raise InputError("\n  ".join([f"{name}: not valid", *problems]))
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = sorted((explain(model, problem) for problem in error.errors(include_url=False)), key=lambda line: line.split(":")[0])
        raise InputError("\n  ".join([f"{name}: not valid", *dict.fromkeys(problems)])) from None


def odd_texts(content, key=""):
    """A line for each text that no command line or UTF-8 file can hold, naming its key."""
    if isinstance(content, str) and re.search("[\0\ud800-\udfff]", content):
        yield f"{key}: {content!r} must not hold NUL characters or halves of surrogate pairs"
    entries = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for name, value in entries:
        yield from odd_texts(value, f"{key}.{name}" if key else str(name))


def explain(model, problem):
    """One line for one of pydantic's errors: key, what is wrong, what is allowed."""
    path = [part for part in problem["loc"] if not re.match(r"[<\[]", str(part))]
    kind, value, context = problem["type"], problem["input"], problem.get("ctx", {})
    key, parent = dotted(path), dotted(path[:-1])
    found = shorten(repr(value))
    if kind in ("extra_forbidden", "invalid_key"):
        return f"{parent}: {unknown_key(block_at(model, problem['loc'][:-1]), path)}"
    if kind == "behaviour_kind":
        allowed = problem["msg"].split(", ")
        return f"{key}.kind: {value.get('kind')!r} is not allowed{near_miss(value.get('kind'), allowed)}; use one of {problem['msg']}"
    if kind == "missing":
        return f"{parent}: missing key {path[-1]!r}"
    if kind == "relation":
        return f"{dotted([*path, context['key']])}: {context['text']}"
    if kind == "unique":
        return f"{key}: entries must be unique, found {found}"
    if kind == "form":
        return f"{key}: {found} is not allowed; use {context['text']}{odd_entry(value)}"
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", context["expected"])
        return f"{key}: {found} is not allowed{near_miss(value, allowed)}; use one of {', '.join(allowed)}"
    if kind == "string_pattern_mismatch":
        return f"{key}: {found} must {PATTERNS[context['pattern']]}"
    if kind in ("too_short", "string_too_short"):
        return f"{key}: must have at least {context['min_length']} entries or characters, has {len(value)}"
    if kind in SIGNS:
        sign, limit = SIGNS[kind]
        return f"{key}: {found} must be {sign} {context[limit]:.10g}"
    if kind in WANTED:
        return f"{key}: {wrong_type(model, path, kind, value, found)}"
    return f"{key}: {found}: {problem['msg']}"


def dotted(path):
    """The name of a key in the messages."""
    return ".".join(map(str, path)) or TOP


def block_at(model, path):
    """The Block class of the value at a path, which may hold the tags of unions (``<scored>``); or None."""
    annotation = model
    for part in path:
        if isinstance(part, int) or model is None:
            continue
        if re.match(r"[<\[]", part):
            model = block_in(annotation, part) or model
        else:
            field = model.model_fields.get(part)
            annotation = field and field.annotation
            model = field and block_in(annotation)
    return model


def block_in(annotation, tag=None):
    """The Block class within a type annotation, the first one or that of a union's ``tag``; or None."""
    if tag:
        named = [part for part in get_args(annotation) if Tag(tag) in get_args(part)]
        return block_in(named[0]) if named else None
    return next(iter(blocks_in(annotation)), None)


def blocks_in(annotation):
    """All Block classes within a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Block):
        return [annotation]
    return [block for part in get_args(annotation) for block in blocks_in(part)]


def unknown_key(block, path):
    """What is wrong with an unknown key, what may be meant, and what is allowed."""
    name, key = path[-1], dotted([part for part in path if not isinstance(part, int)])
    if key in OLD_KEYS:
        return f"key {name!r} has a new name: write {OLD_KEYS[key].rpartition('.')[2]}"
    known = [field.alias or each for each, field in block.model_fields.items()]
    return f"unknown key {name!r}{near_miss(name, known)}; allowed: {', '.join(sorted(known))}"


def near_miss(word, allowed):
    """A question for the allowed word that is spelt most alike, if there is one."""
    close = difflib.get_close_matches(str(word), allowed, 1)
    return f"; did you mean {close[0]}?" if close else ""


def odd_entry(value):
    """A hint if an entry of a list of names is no text."""
    odd = [each for each in value if not isinstance(each, str)] if isinstance(value, list) else []
    return f"; YAML reads an entry as {odd[0]!r}, not as text: put quotes around it" if odd else ""


def wrong_type(model, path, kind, value, found):
    """What is wrong with a value of another type, with a hint where YAML reads something else than was meant."""
    if kind == "string_type" and isinstance(value, bool | datetime.date):
        return f"YAML reads this as {value!r}, not as text; put quotes around it"
    hint = ""
    if kind == "string_type" and isinstance(value, int | float):
        hint = "; put quotes around it to make it text"
    if isinstance(value, str) and kind != "bool_type" and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        hint = "; YAML reads this as text; write a decimal point and a sign, such as 1.0e-4"
    if kind == "float_type" and type(value) is int:
        return f"{found} is too large a number"
    return f"{found} must be {WANTED[kind]}{other_forms(model, path, kind)}{hint}"


def other_forms(model, path, kind):
    """What else than a value of its type the field at a path may be: null, or a block."""
    block = block_at(model, path[:-1]) if path and isinstance(path[-1], str) else None
    field = block and block.model_fields.get(path[-1])
    if not field:
        return ""
    inner = block_in(field.annotation) if kind == "bool_type" else None
    null = " or null" if type(None) in get_args(field.annotation) else ""
    return null + (f" or a block (object) with the keys {', '.join(inner.model_fields)}" if inner else "")
