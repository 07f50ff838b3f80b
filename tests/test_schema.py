"""A schema error in words: for each kind of rule, the line names the key, the value found and what is allowed."""

import pytest
import yaml
from jsonschema import Draft202012Validator

from persona_leakage.config.schema import check_schema, explain
from persona_leakage.infrastructure.cli import InputError


def nested(schema):
    """A schema for {"block": {"key": ...}} whose key follows ``schema``."""
    block = {"type": "object", "properties": {"key": schema}}
    return {"type": "object", "properties": {"block": block}}


# rule for block.key, value, what the line must hold besides "block.key"
RULES = {
    "additionalProperties": (
        {"additionalProperties": False, "properties": {"good": {}, "better": {}}},
        {"good": 1, "bad": 2, "worse": 3},
        ["unknown key 'bad', 'worse'", "allowed: better, good"],
    ),
    "required": ({"required": ["good"]}, {"bad": 1}, ["missing key 'good'"]),
    "enum": ({"enum": ["eos", "both", 3]}, "end", ["'end'", "eos, both, 3"]),
    "type": ({"type": "integer"}, "42", ["'42'", "integer"]),
    "type of several": ({"type": ["integer", "null"]}, "x", ["'x'", "integer or null"]),
    "type: nothing given": ({"type": "string"}, None, ["None", "string"]),
    "pattern": ({"pattern": "^[a-z]+$"}, "A b", ["'A b'", "^[a-z]+$"]),
    "minimum": ({"minimum": 1}, 0, ["0 must be >= 1"]),
    "exclusiveMinimum": ({"exclusiveMinimum": 0}, 0, ["0 must be > 0"]),
    "maximum": ({"maximum": 2}, 2.5, ["2.5 must be <= 2"]),
    "exclusiveMaximum": ({"exclusiveMaximum": 1}, 1, ["1 must be < 1"]),
    "minItems": ({"minItems": 2}, ["a"], ["at least 2", "has 1"]),
    "minLength": ({"minLength": 3}, "ab", ["at least 3", "has 2"]),
    "minProperties": ({"minProperties": 1}, {}, ["at least 1", "has 0"]),
    "uniqueItems": ({"uniqueItems": True}, [1, 2, 1], ["unique", "[1, 2, 1]"]),
    "oneOf": (
        {"oneOf": [{"type": "array", "description": "a list of names"}, {"const": "all", "description": "the word all"}]},
        "some",
        ["'some'", "a list of names or the word all"],
    ),
    "anyOf without descriptions": ({"anyOf": [{"type": "integer"}, {"type": "boolean"}]}, "x", ["'x'", "integer or boolean"]),
    "any other": ({"multipleOf": 8}, 12, ["12", "8"]),
    "any other: const": ({"const": "base"}, "adapter", ["base"]),
}


@pytest.mark.parametrize(("rule", "value", "fragments"), RULES.values(), ids=RULES)
def test_explain(rule, value, fragments):
    """One line, which begins with the key's whole path."""
    (problem,) = Draft202012Validator(nested(rule)).iter_errors({"block": {"key": value}})
    line = explain(problem)
    assert line.startswith("block.key: ")
    assert [fragment for fragment in fragments if fragment not in line] == [], line
    assert "\n" not in line


@pytest.mark.parametrize("text", ["1e-4", "5E-6", "+1e3", "-2e+5", "1.0e3", "2.5E4"])
def test_numbers_that_yaml_reads_as_text_get_a_hint(text):
    """The commonest mistake in a learning rate; YAML 1.1 wants a point and a signed exponent."""
    assert isinstance(yaml.safe_load(text), str)
    (problem,) = Draft202012Validator({"type": "number"}).iter_errors(text)
    assert "1.0e-4" in explain(problem)


@pytest.mark.parametrize("value", ["fast", "1e", "e-4", "42", True, None, [1]])
def test_other_values_get_no_hint(value):
    """It would mislead."""
    (problem,) = Draft202012Validator({"type": "number"} if value != "42" else {"type": "boolean"}).iter_errors(value)
    assert "1.0e-4" not in explain(problem)


@pytest.mark.parametrize(
    ("schema", "content", "start"),
    [
        ({"type": "object"}, None, "(top level): None"),
        ({"required": ["a"]}, {}, "(top level): missing key 'a'"),
        ({"items": {"type": "integer"}}, [1, "x"], "1: 'x'"),
        ({"properties": {"a": {"items": {"required": ["b"]}}}}, {"a": [{"b": 1}, {}]}, "a.1: missing key 'b'"),
    ],
)
def test_the_key_is_a_path(schema, content, start):
    """Through blocks and list entries, or the top itself."""
    (problem,) = Draft202012Validator(schema).iter_errors(content)
    assert explain(problem).startswith(start)


SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["alpha", "beta", "gamma"],
    "properties": {"alpha": {"type": "integer"}, "beta": {"type": "string"}, "gamma": {"enum": ["x"]}},
}


@pytest.fixture
def schema_path(tmp_path):
    """A small schema as a file."""
    path = tmp_path / "small.schema.yaml"
    path.write_text(yaml.safe_dump(SCHEMA))
    return path


def test_valid_content_passes(schema_path):
    """Silently."""
    assert check_schema({"alpha": 1, "beta": "b", "gamma": "x"}, schema_path, "my.yaml") is None


def test_every_problem_has_its_line(schema_path):
    """Under a heading that names the file, sorted by key."""
    with pytest.raises(InputError) as refusal:
        check_schema({"gamma": "y", "beta": 2, "alpha": "1"}, schema_path, "my.yaml")
    heading, *lines = str(refusal.value).splitlines()
    assert heading.startswith("my.yaml")
    assert [line.strip().split(":")[0] for line in lines] == ["alpha", "beta", "gamma"]


def test_no_line_comes_twice(schema_path):
    """Two missing keys of one block are one finding, or two different lines."""
    with pytest.raises(InputError) as refusal:
        check_schema({"alpha": 1}, schema_path, "my.yaml")
    lines = str(refusal.value).splitlines()[1:]
    assert len(lines) == len(set(lines)), lines
    assert all(any(key in line for line in lines) for key in ("'beta'", "'gamma'"))
