"""Command line options that several programs share, and the settings of a program as a typed block."""

import argparse
import json
from functools import partial
from pathlib import Path

from persona_leakage.config.blocks.settings import Headline
from persona_leakage.config.messages import parse
from persona_leakage.infrastructure.cli import InputError


class PathParser(argparse.ArgumentParser):
    """An ArgumentParser that rejects an empty value of an option whose metavar is PATH."""

    def add_argument(self, *names, **options):
        if options.get("metavar") == "PATH":
            options.setdefault("type", file_path)
        return super().add_argument(*names, **options)


def file_path(text):
    """A path option's value."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; it must be a path")
    return text


def new_parser(program, description, *required, optional=(), settings=Headline, chunk=None, epilog=None):
    """A parser with ``--settings`` and a path option for each of ``required`` (such as "output") and ``optional``.

    settings: the Block class of --settings, which may be left out if no key of it must be given. Figures, which share the
    parameters of one rule, take a headline layer whether they use it or not. chunk:
    (default, what) of --chunk-size, for programs that keep finished work; it decides no result, and so is not in their settings.
    """
    parser = PathParser(prog=program, description=description, epilog=epilog)
    needed = any(field.is_required() for field in settings.model_fields.values())
    parser.add_argument(
        "--settings",
        required=needed,
        default=None if needed else "{}",
        type=partial(read_settings, settings),
        metavar="JSON",
        help="the parts of the config that this stage uses, as JSON, or @ and the path of a file with it; "
        f"keys: {', '.join(settings.model_fields)}",
    )
    for option in required:
        parser.add_argument(f"--{option}", required=True, metavar="PATH")
    for option in optional:
        parser.add_argument(f"--{option}", metavar="PATH")
    if chunk:
        default, what = chunk
        parser.add_argument("--chunk-size", type=int, default=default, help=f"number of {what} between checkpoints ({default})")
    return parser


def sampling_parser(program, description, *required, settings):
    """:func:`prompts_parser` of programs that sample replies."""
    parser = prompts_parser(program, description, *required, settings=settings, chunk=(450, "replies"))
    text = "rank of the adapters that later jobs sample with; vLLM's engine is made ready for them (default: of this job's adapter)"
    parser.add_argument("--lora-rank", type=int, help=text)
    return parser


def prompts_parser(program, description, *required, settings, chunk):
    """:func:`new_parser` of programs that run the model on the prompts of personas and questions."""
    return new_parser(program, description, "model", "personas", "questions", "restart", *required, settings=settings, chunk=chunk)


def require_options(parser, args, names, otherwise=""):
    """Exit code 2 unless each option of ``names``, as in ``args``, has a value; otherwise: ", or" and what else may be given."""
    for name in names:
        if not getattr(args, name):
            parser.error(f"the following arguments are required: --{name.replace('_', '-')}{otherwise}")


def read_settings(model, text):
    """Parse an option's value, or the file after an @, as JSON of a Block class; unknown keys are errors."""
    try:
        return parse(model, json_object(text), "settings")
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def json_object(text):
    """Parse an option's value as a JSON object: the text itself, or @PATH of a file with it."""
    try:
        value = json.loads(Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text[1:]}: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("must be a JSON object")
    return value
