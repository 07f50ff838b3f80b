"""An error of a typed block in words: for each kind of rule, the line names the key, the value found and what is allowed."""

from typing import Annotated, Literal

import pytest
import yaml
from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from persona_leakage.config.blocks.fields import NAME, Block, Number, Precision, check_unique, form, refuse
from persona_leakage.config.messages import parse
from persona_leakage.infrastructure.cli import InputError


class Inner(Block):
    """A block that may also be a switch, or null."""

    good: int = 1
    better: int = Field(2, ge=1, lt=10)


class Small(Block):
    """A field of each kind."""

    whole: int = Field(1, ge=1, le=8)
    number: Number = Field(1.0, gt=0, lt=2)
    text: str | None = None
    name: Annotated[str, Field(pattern=NAME)] = "a"
    long: Annotated[str, Field(min_length=3)] = "abc"
    switch: bool = False
    precision: Precision = "auto"
    listed: Annotated[list[int], Field(min_length=2), AfterValidator(check_unique)] = Field([1, 2])
    inner: Inner = Inner()
    nullable: Inner | None = None
    either: Annotated[
        Annotated[bool, Tag("<switch>")] | Annotated[Inner, Tag("<block>")],
        Discriminator(lambda value: "<block>" if isinstance(value, dict | Inner) else "<switch>"),
    ] = False
    several: Annotated[list[str] | Literal["all"], form("a list of names or the word all")] = "all"
    named: Annotated[dict[Annotated[str, Field(pattern=NAME)], int], Field(min_length=1)] = Field({"a": 1})

    @model_validator(mode="after")
    def check_whole(self):
        """A value that does not fit another."""
        if self.whole == 7 and self.switch:
            refuse("whole", "7 must be even when switch is true")
        return self


class Outer(Block):
    """A whole content."""

    block: Small = Small()
    blocks: list[Small] = Field([])
    needed: int


# content of the block, the key that the line begins with, what else it holds
RULES = {
    "unknown key": ({"whol": 1}, "block", ["unknown key 'whol'", "did you mean whole?", "allowed: either, inner"]),
    "unknown key unlike all others": ({"zzz": 1}, "block", ["unknown key 'zzz'; allowed:"]),
    "unknown key of another type": ({3: 1}, "block", ["unknown key 3", "allowed:"]),
    "unknown key in an inner block": ({"inner": {"god": 1}}, "block.inner", ["'god'", "did you mean good?", "allowed: better, good"]),
    "unknown key in a block that may be null": ({"nullable": {"x": 1}}, "block.nullable", ["'x'", "allowed: better, good"]),
    "unknown key in one of two forms": ({"either": {"x": 1}}, "block.either", ["'x'", "allowed: better, good"]),
    "enum": ({"precision": "float23"}, "block.precision", ["'float23'", "did you mean float32?", "auto, bfloat16, float32"]),
    "integer": ({"whole": "42"}, "block.whole", ["'42'", "integer"]),
    "integer with a decimal point": ({"whole": 3.0}, "block.whole", ["3.0", "integer"]),
    "truth value for an integer": ({"whole": True}, "block.whole", ["True", "integer"]),
    "nothing": ({"whole": None}, "block.whole", ["None", "integer"]),
    "number": ({"number": "x"}, "block.number", ["'x'", "number"]),
    "truth value for a number": ({"number": True}, "block.number", ["True", "number"]),
    "no number": ({"number": float("nan")}, "block.number", ["nan", "finite number"]),
    "text or null": ({"text": [1]}, "block.text", ["[1]", "string", "or null"]),
    "number for a text": ({"text": 3}, "block.text", ["3", "put quotes around it"]),
    "pattern": ({"name": "A b"}, "block.name", ["'A b'", "must be small letters"]),
    "minimum": ({"whole": 0}, "block.whole", ["0 must be >= 1"]),
    "exclusive minimum": ({"number": 0}, "block.number", ["0 must be > 0"]),
    "maximum": ({"whole": 9}, "block.whole", ["9 must be <= 8"]),
    "exclusive maximum": ({"number": 2.5}, "block.number", ["2.5 must be < 2"]),
    "too few entries": ({"listed": [1]}, "block.listed", ["at least 2", "has 1"]),
    "too short": ({"long": "ab"}, "block.long", ["at least 3", "has 2"]),
    "too few keys": ({"named": {}}, "block.named", ["at least 1", "has 0"]),
    "name of an entry": ({"named": {"A b": 1}}, "block.named.A b", ["'A b'", "must be small letters"]),
    "repeated entry": ({"listed": [1, 2, 1]}, "block.listed", ["unique", "[1, 2, 1]"]),
    "entry of a list": ({"listed": [1, "x"]}, "block.listed.1", ["'x'", "integer"]),
    "list": ({"listed": 3}, "block.listed", ["3", "a list"]),
    "none of several forms": ({"several": "some"}, "block.several", ["'some'", "a list of names or the word all"]),
    "none of two forms": ({"either": "x"}, "block.either", ["'x'", "boolean", "a block (object) with the keys good, better"]),
    "value in one of two forms": ({"either": {"better": 10}}, "block.either.better", ["10 must be < 10"]),
    "block": ({"inner": [1]}, "block.inner", ["[1]", "object"]),
    "block or null": ({"nullable": True}, "block.nullable", ["True", "object", "or null"]),
    "truth value": ({"switch": "yes"}, "block.switch", ["'yes'", "true or false"]),
    "value that does not fit another": ({"whole": 7, "switch": True}, "block.whole", ["7 must be even when switch is true"]),
}


def lines_of(content):
    with pytest.raises(InputError) as refusal:
        parse(Outer, content, "my.yaml")
    heading, *lines = str(refusal.value).splitlines()
    assert heading == "my.yaml: not valid"
    return [line.strip() for line in lines]


@pytest.mark.parametrize(("block", "key", "fragments"), RULES.values(), ids=RULES)
def test_every_kind_of_error_in_a_line(block, key, fragments):
    (line,) = lines_of({"block": block, "needed": 1})
    assert line.startswith(f"{key}: ") and "\n" not in line
    assert [fragment for fragment in fragments if fragment not in line] == [], line
    (line,) = lines_of({"blocks": [{}, block], "needed": 1})
    assert line.startswith(key.replace("block", "blocks.1", 1))


@pytest.mark.parametrize("text", ["1e-4", "5E-6", "+1e3", "-2e+5", "1.0e3", "2.5E4"])
def test_numbers_that_yaml_reads_as_text_get_a_hint(text):
    """The commonest mistake in a learning rate; YAML 1.1 wants a point and a signed exponent."""
    assert isinstance(yaml.safe_load(text), str)
    assert "1.0e-4" in lines_of({"block": {"number": text}, "needed": 1})[0]


@pytest.mark.parametrize("block", [{"number": value} for value in ("fast", "1e", "e-4", True, None, [1])] + [{"switch": "1e-4"}])
def test_other_values_get_no_hint(block):
    assert "1.0e-4" not in lines_of({"block": block, "needed": 1})[0]


@pytest.mark.parametrize(
    ("content", "start"), [(None, "(top level): None"), ({}, "(top level): missing key 'needed'"), ([1], "(top level): [1]")]
)
def test_the_top_level_has_a_name(content, start):
    assert lines_of(content)[0].startswith(start)


def test_every_problem_has_its_line_sorted_by_key():
    lines = lines_of({"needed": "1", "blocks": [{"whole": 0}], "block": {"text": 3}})
    assert [line.split(":")[0] for line in lines] == ["block.text", "blocks.0.whole", "needed"]


def test_valid_content_comes_back_with_its_values():
    """An integer stays one where any number is allowed, and nothing can be changed."""
    parsed = parse(Outer, {"block": {"number": 1, "listed": [3, 4]}, "needed": 1}, "my.yaml")
    assert parsed.block.number == 1 and isinstance(parsed.block.number, int) and parsed.block.listed == [3, 4]
    with pytest.raises(ValueError, match="frozen"):
        parsed.block.number = 1.5
