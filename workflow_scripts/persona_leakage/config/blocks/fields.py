"""The base class of all config blocks and the value types that they share."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WrapValidator
from pydantic_core import PydanticCustomError, ValidationError

SLUG = "^[a-z0-9][a-z0-9._-]*$"
NAME = "^[a-z][a-z0-9_]*$"
LINE = r"^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x08\n-\x1f\x7f-\x9f\u2028\u2029]*[^\s\x00-\x1f\x7f-\x9f])?$"
ACCOUNT = "^[A-Za-z0-9][A-Za-z0-9._-]*$"
PROJECT = r"^[^/\\#?%:\s]{1,128}$"
WRITTEN = r"\S"
DATE = r"^\d{4}-\d{2}-\d{2}$"
VARIANT = r"^(hash|nearest|farthest|spread)(all|0|[1-9][0-9]{0,2})$"
# What the patterns ask for, in words.
PATTERNS = {
    SLUG: "be small letters, digits and . _ -, beginning with a letter or digit",
    NAME: "be small letters, digits and _, beginning with a letter",
    LINE: "be one line, without control characters, and without white space at its ends",
    ACCOUNT: "be letters, digits and . _ -, beginning with a letter or digit",
    PROJECT: "be 1 to 128 characters without / \\ # ? % : and white space",
    WRITTEN: "hold more than white space",
    DATE: "be a date such as 2026-11-25",
    VARIANT: "be hash, nearest, farthest or spread and a number or all, such as nearest2 or hashall",
}
MOST = 1_000_000


class Block(BaseModel):
    """A block of the config: its values cannot change, unknown keys are errors, and no value is converted to another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def refuse(key, text):
    """Raise the error that the value of ``key`` does not fit the rest of its block. For the validators of blocks."""
    raise PydanticCustomError("relation", "{text}", {"key": key, "text": text})


def form(text):
    """A validator for a value that may have several forms: one error names all of them."""

    def check(value, validate):
        try:
            return validate(value)
        except ValidationError:
            raise PydanticCustomError("form", "{text}", {"text": text}) from None

    return WrapValidator(check)


def check_unique(values):
    """The list itself; an error if an entry appears twice."""
    if any(value in values[:index] for index, value in enumerate(values)):
        raise PydanticCustomError("unique", "entries must be unique")
    return values


def keep_integer(value, validate):
    """An integer stays an integer where any number is allowed, so that programs receive what the config says."""
    number = validate(value)
    return value if type(value) is int else number


def entries(least=0):
    """What a list without repeated entries needs as annotations; least: its smallest length."""
    return Field(min_length=least, json_schema_extra={"uniqueItems": True})


Slug = Annotated[str, Field(pattern=SLUG)]
Name = Annotated[str, Field(pattern=NAME)]
Line = Annotated[str, Field(pattern=LINE)]
Text = Annotated[str, Field(min_length=1)]
Written = Annotated[str, Field(pattern=WRITTEN)]
Names = Annotated[list[Name], entries(1), AfterValidator(check_unique)]
Count = Annotated[int, Field(ge=1, le=MOST)]
CountOrNone = Annotated[int, Field(ge=0, le=MOST)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
Seeds = Annotated[list[Seed], entries(1), AfterValidator(check_unique)]
Number = Annotated[float, WrapValidator(keep_integer)]
Precision = Literal["auto", "bfloat16", "float32"]
