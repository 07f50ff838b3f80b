"""JSON schema checks whose errors name the key, the value found and what is allowed."""

import datetime
import math
import re

import yaml
from jsonschema import Draft202012Validator, validators
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from persona_leakage.infrastructure.cli import InputError


def _is_integer(_, value):
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(checker, value):
    return _is_integer(checker, value) or (isinstance(value, float) and math.isfinite(value))


# In words, what the patterns of the schemas ask for.
PATTERNS = {
    r"^[a-z][a-z0-9_]*$(?!\n)": "be small letters, digits and _, beginning with a letter",
    r"^\S([^\n\r\x0b\x0c\x85\u2028\u2029]*\S)?$(?!\n)": "be one line, without white space at its ends",
    r"^[a-z0-9][a-z0-9._-]*$(?!\n)": "be small letters, digits and . _ -, beginning with a letter or digit",
}

# JSON schema takes 3.0 for an integer, and NaN and infinities, which YAML has, for numbers.
Validator = validators.extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many({"integer": _is_integer, "number": _is_number}),
)


def check_schema(content, schema_path, name):
    """Check ``content`` against a schema file; InputError with one line per problem, each naming its key.

    name: what the content is called in the messages (a file's path).
    """

    def read(name):
        return yaml.safe_load((schema_path.parent / name).read_text(encoding="utf-8"))

    # A schema may refer to another one by its file name.
    others = Registry(retrieve=lambda name: DRAFT202012.create_resource(read(name)))
    errors = Validator(read(schema_path.name), registry=others).iter_errors(content)
    problems = sorted(errors, key=lambda problem: list(map(str, problem.absolute_path)))
    if problems:
        raise InputError("\n  ".join([f"{name}: not valid", *dict.fromkeys(map(explain, problems))]))
    if odd := list(odd_texts(content)):
        raise InputError("\n  ".join([f"{name}: not valid", *odd]))


def odd_texts(content, key=""):
    """A line for each text that no command line or UTF-8 file can hold, naming its key."""
    if isinstance(content, str) and re.search("[\0\ud800-\udfff]", content):
        yield f"{key}: {content!r} must not hold NUL characters or halves of surrogate pairs"
    entries = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for name, value in entries:
        yield from odd_texts(value, f"{key}.{name}" if key else str(name))


def allowed_text(problem):
    """Whether a type error is about a value that should be text."""
    return problem.validator == "type" and problem.validator_value == "string"


def explain(problem):
    """One line for a jsonschema error: key, what is wrong, what is allowed."""
    key = ".".join(map(str, problem.absolute_path)) or "(top level)"
    if isinstance(problem.instance, bool | datetime.date) and allowed_text(problem):
        return f"{key}: YAML reads this as {problem.instance!r}, not as text; put quotes around it"
    allowed, value = problem.validator_value, problem.instance
    match problem.validator:
        case "additionalProperties":
            known = sorted(problem.schema["properties"])
            unknown = sorted(set(problem.instance) - set(known), key=str)
            return f"{key}: unknown key {', '.join(map(repr, unknown))}; allowed: {', '.join(known)}"
        case "required":
            missing = [name for name in allowed if name not in problem.instance]
            return f"{key}: missing key {', '.join(map(repr, missing))}"
        case "enum":
            return f"{key}: {value!r} is not allowed; use one of {', '.join(map(str, allowed))}"
        case "type":
            hint = ""
            if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
                hint = "; YAML reads this as text, write it with a decimal point and a sign, such as 1.0e-4"
            if isinstance(value, int | float) and allowed_text(problem):
                hint = "; put quotes around it to make it text"
            wanted = " or ".join(allowed) if isinstance(allowed, list) else allowed
            return f"{key}: {value!r} is not of type {wanted}{hint}"
        case "pattern":
            return f"{key}: {value!r} must {PATTERNS.get(allowed, f'match {allowed}')}"
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum":
            sign = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}[problem.validator]
            return f"{key}: {value!r} must be {sign} {allowed}"
        case "minItems" | "minLength" | "minProperties":
            return f"{key}: must have at least {allowed} entries or characters, has {len(value)}"
        case "uniqueItems":
            return f"{key}: entries must be unique, found {value!r}"
        case "oneOf" | "anyOf":
            kinds = [option.get("description", option.get("type", "")) for option in allowed]
            odd = [each for each in value if not isinstance(each, str)] if isinstance(value, list) else []
            hint = f"; YAML reads an entry as {odd[0]!r}, not as text: put quotes around it" if odd else ""
            return f"{key}: {value!r} is not allowed; use {' or '.join(map(str, kinds))}{hint}"
        case _:
            return f"{key}: {problem.message}"
