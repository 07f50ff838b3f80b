"""Command line options that several programs share, and reading what they point to."""

import argparse
import json

from persona_leakage.errors import InputError
from persona_leakage.files import digest_of
from persona_leakage.personas import read_personas, read_question_sets, select_personas


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
        help="the parts of the config that this stage uses, as JSON",
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
    """Parse an option's value as a JSON object."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("must be a JSON object")
    return value


def describe_personas(personas, names, *fields):
    """The selection block of settings: names, and a digest of those ``fields`` of them that the stage uses.

    With the digest among a job's parameters, an edited prompt makes exactly its users stale, and
    another persona in the same file nobody.
    """
    content = [[getattr(persona, field) for field in fields] for persona in select_personas(personas, names)]
    return {"names": names, "fields": list(fields), "digest": digest_of(content)}


def describe_questions(question_sets, use):
    """The selection block of settings for a question set: its name, how many, and a digest of those."""
    return {**use, "digest": digest_of(question_sets[use["set"]][: use["count"]])}


def chosen_personas(path, selection):
    """The personas of a selection block, read from ``path``; InputError if the file changed since the block was made."""
    personas = read_personas(path)
    known = selection["names"] == "all" or set(selection["names"]) <= set(personas)
    if not known or describe_personas(personas, selection["names"], *selection["fields"]) != selection:
        raise InputError(f"{path}: changed since this run started; start it again")
    return select_personas(personas, selection["names"])


def chosen_questions(path, selection):
    """The questions of a selection block, read from ``path``; InputError if the file changed since the block was made."""
    question_sets = read_question_sets(path)
    if (
        selection["set"] not in question_sets
        or describe_questions(question_sets, {key: selection[key] for key in ("set", "count")}) != selection
    ):
        raise InputError(f"{path}: changed since this run started; start it again")
    return question_sets[selection["set"]][: selection["count"]]
