"""Errors of a program's user: one line, exit code 1, no traceback."""

import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path


class InputError(ValueError):
    """Something the user gave is wrong. The message names the key or file, the value found and what is allowed."""


@contextmanager
def named_in_errors(subject, remedy=""):
    """Turn whatever a library raises within the block into an InputError of one line: the subject, the error, the remedy.

    For reading user files with libraries that raise many kinds of errors; some Rust libraries raise errors not derived from Exception.
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


def prefer_own_python():
    """Let jobs find the Python that runs Snakemake; an environment that Snakemake activates for a job (conda) still comes first."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def run_program(main):
    """Call ``main(argv)`` as a command line program and end the process: an :class:`InputError` becomes one line and exit code 1.

    Any other exception is a defect and keeps its traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError):
            stream.reconfigure(errors="backslashreplace")  # a terminal may lack the characters of a name
    try:
        main(sys.argv[1:])
    except InputError as error:
        from persona_leakage.infrastructure.visible_text import visible_text  # not above: loaded modules count in the digest of kept work

        sys.exit(visible_text(f"error: {error}"))
