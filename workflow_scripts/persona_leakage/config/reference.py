"""The keys of a config as rows of a table, from the typed blocks: for docs/configuration.md and for editors."""

import json
from typing import get_args

from persona_leakage.config.blocks.experiment import Experiment
from persona_leakage.config.messages import blocks_in

LONGEST = {list: 3, str: 50}  # entries or characters of a default that the table shows
WHOLE = {"integer": "integer", "number": "number", "string": "text", "boolean": "boolean", "null": "null"}
LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
BIG = 1_000_000  # upper limits from here on are no information


def all_keys(block=Experiment, prefix=""):
    """(dotted key, field, JSON schema of its value, block that it holds or None) of every key, in order, inner ones after their block.

    Keys of the entries of a list have no number: questions.evaluation.set. A block with "same_as" is not listed key by key.
    """
    schema = block.model_json_schema()
    for name, field in block.model_fields.items():
        inner, value = blocks_in(field.annotation), schema["properties"][name]
        if "same_as" in (field.json_schema_extra or {}):
            inner = []
        yield f"{prefix}{name}", field, resolved(value, schema.get("$defs", {})), inner[0] if inner else None
        seen = set()
        for each in inner:  # the kinds of a union share keys
            for entry in all_keys(each, f"{prefix}{name}."):
                if entry[0] not in seen:
                    seen.add(entry[0])
                    yield with_kinds(entry, inner)


def with_kinds(entry, blocks):
    """An entry of all_keys; the key ``kind`` of a union of ``blocks`` may be any of theirs, and its description is that of its default."""
    key, field, _, inner = entry
    if len(blocks) == 1 or not key.endswith(".kind"):
        return entry
    kinds = [block.model_fields["kind"] for block in blocks]
    described = next((kind for kind in kinds if not kind.is_required()), field)
    return key, described, {"enum": [get_args(kind.annotation)[0] for kind in kinds]}, inner


def resolved(schema, definitions):
    """A JSON schema without references."""
    if isinstance(schema, list):
        return [resolved(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[-1]] | {key: value for key, value in schema.items() if key != "$ref"}
    return {key: value if key == "default" else resolved(value, definitions) for key, value in schema.items()}


def type_text(schema):
    """What a value may be, in words."""
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(map(type_text, options))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema["type"] == "array":
        return f"list of {type_text(schema['items'])}"
    if schema["type"] == "object":
        return "block"
    limits = [f"{sign}{schema[key]:g}" for key, sign in LIMITS.items() if key in schema and schema[key] < BIG]
    return ", ".join([f"{WHOLE[schema['type']]} {limits[0]}", *limits[1:]] if limits else [WHOLE[schema["type"]]])


def default_text(value):
    """A default as YAML would have it, if it is short."""
    if isinstance(value, list | str) and len(value) > LONGEST[type(value)]:
        return "see config.yaml"
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def key_rows(config):
    """[[key, type, default, description]] of each key of a config.

    config: the values of config.yaml, for the keys that have no default of their own.
    """
    return [
        [f"`{key}`", type_text(schema), shown_default(config, key), field.description]
        for key, field, schema, inner in all_keys()
        if not (inner and type_text(schema) == "block")  # its keys have rows of their own
    ]


def shown_default(config, key):
    """The default of a key as the table shows it; empty for a key of a block that is not there by default."""
    value = config
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return ""
        value = value[part]
    return default_text(value)


def editor_schema():
    """The JSON schema of a config file, in which blocks may be incomplete: config.yaml has the other keys."""
    schema = without_titles(Experiment.model_json_schema())
    for block in (schema, *(schema["$defs"][name] for name in ("Model", "Personas", "QuestionUse"))):
        del block["required"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def without_titles(schema):
    """A JSON schema without the titles that repeat its keys."""
    if isinstance(schema, list):
        return [without_titles(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: without_titles(value) for key, value in schema.items() if key != "title"}
