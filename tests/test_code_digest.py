"""What of the project's code counts: what can change a result does, what only speaks to readers and users does not."""

import pytest

from persona_leakage.code_digest import NOT_COUNTED, digest_of_code, files_of_program
from tests.conftest import ROOT

CODE = b'''"""Half of a number."""

import math


def half(number):
    """Half of it."""
    # not of a text
    if not isinstance(number, int):
        raise ValueError(f"{number} is no number", 2)
    print("halving", number)
    return number / 2


TEXT = """
# a line of the text

"""
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Half of a number", b"A half"),
        (b"Half of it", b"What is half of it"),
        (b"    # not of a text\n", b"\n\n# another\n"),
        (b"is no number", b"must be a number"),
        (b'{number} is no number", 2', b'no number"'),
        (b'"halving", number', b'"half of", number, "is wanted"'),
    ],
)
def test_what_is_only_read_counts_for_nothing(old, new):
    assert old in CODE
    assert digest_of_code(CODE.replace(old, new)) == digest_of_code(CODE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"number / 2", b"number / 3"),
        (b"ValueError", b"TypeError"),
        (b"import math", b"import math, os"),
        (b"# a line of the text", b"# another line of the text"),
        (b"text\n\n", b"text\n"),
        (b"not isinstance", b"isinstance"),
    ],
)
def test_what_is_computed_counts(old, new):
    assert old in CODE
    assert digest_of_code(CODE.replace(old, new)) != digest_of_code(CODE)


def test_a_file_that_is_no_python_counts_whole():
    assert digest_of_code(b"one (") != digest_of_code(b"two (")


def test_programs_depend_on_what_they_import_but_for_what_changes_no_number():
    names = {path.name for path in files_of_program(ROOT / "workflow_scripts/train_adapter.py")}
    assert {"train_adapter.py", "training.py", "lora.py", "seeds.py", "__init__.py"} <= names
    assert not names & NOT_COUNTED
    everything = {path.name for path in (ROOT / "workflow_scripts").rglob("*.py")}
    assert everything >= NOT_COUNTED, "a module that is not there any more"
