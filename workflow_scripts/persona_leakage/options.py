"""Command line options that several programs share."""

import argparse
import json
from pathlib import Path


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
