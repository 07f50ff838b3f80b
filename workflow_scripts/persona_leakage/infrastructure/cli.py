"""How a program tells its user about a mistake: one line, exit code 1, no traceback."""

import argparse
import json
import sys
from contextlib import contextmanager, suppress
from pathlib import Path


class InputError(ValueError):
    """Something the user gave is wrong: a config value, a resource file, an option, a missing model.

    The message names the key or file, the value found and what is allowed.
    """


@contextmanager
def named_in_errors(subject, remedy=""):
    """Turn whatever a library raises within the block into an InputError of one line: the subject, the error, the remedy.

    For reading what the user gave with libraries that raise errors of any kind. Rust libraries even raise some that are no Exception.
    """
    try:
        yield
    except InputError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        said = " ".join(str(error).split())
        raise InputError(f"{subject}: cannot be read ({type(error).__name__}: {shorten(said)}){remedy}") from error


def shorten(text, length=300):
    """The beginning of a text that is longer than ``length`` characters."""
    return text if len(text) <= length else f"{text[:length]}..."


def run_program(main):
    """Call ``main(argv)`` as a command line program and end the process with its exit code.

    An :class:`InputError` becomes one line on stderr and exit code 1; any other exception is a
    defect and keeps its traceback. argparse itself ends with code 2 on bad options.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError):
            stream.reconfigure(errors="backslashreplace")  # a terminal may lack the characters of a name
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f"error: {error}")


def new_parser(program, description, *required, default_settings=None, epilog=None):
    """A parser with ``--settings`` and one required path option for each of ``required`` (such as "output").

    --settings may be left out if there are ``default_settings``.
    """
    parser = argparse.ArgumentParser(prog=program, description=description, epilog=epilog)
    parser.add_argument(
        "--settings",
        required=default_settings is None,
        default=default_settings,
        type=json_object,
        help="the parts of the config that this stage uses, as JSON, or @ and the path of a file with it",
    )
    for option in required:
        parser.add_argument(f"--{option}", required=True, metavar="PATH")
    return parser


def add_chunk_size(parser, default, what):
    """The option of programs that keep finished work; it decides no result, and so is not in their settings."""
    parser.add_argument(
        "--chunk-size", type=int, default=default, help=f"finished {what} between two restart points (default: %(default)s)"
    )


def json_object(text):
    """Parse an option's value as a JSON object: the value itself, or behind an @ the file that holds it."""
    try:
        value = json.loads(Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text[1:]}: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("must be a JSON object")
    return value
