"""An early check of the files given with --configfile.

Snakemake reads them before the Snakefile, and its errors name neither the line of a mistake nor the missing ``--`` in front
of a target. profiles/default/config.yaml, which Snakemake reads still earlier, calls this check.
"""

import shlex
from pathlib import Path

from persona_leakage.config.experiment import read_config
from persona_leakage.infrastructure.cli import InputError

OPTIONS = ("--configfile", "--configfiles")


def check_config_files(arguments):
    """Check every config file of a Snakemake command line; InputError with the file, the line and what to do.

    arguments: words of the command line without the program's name.
    """
    for number, word in config_words(arguments):
        try:
            if not Path(word).is_file():
                raise InputError(f"{word}: no such config file")
            read_config(word)
        except InputError as error:
            raise InputError(f"{error}{separator_hint(arguments, number, word)}") from None


def config_words(arguments):
    """[(index, word)] of the words that Snakemake takes for config files: all after the option, up to the next option."""
    words, open_option = [], False
    for number, word in enumerate(arguments):
        option, _, value = word.partition("=")
        if word == "--":
            break
        if word.startswith("-"):
            open_option = word in OPTIONS
            if value and option in OPTIONS:
                words.append((number, value))
        elif open_option:
            words.append((number, word))
    return words


def separator_hint(arguments, number, word):
    """The way out for a word that may be a target: not for the first word after the option, which must be a config file."""
    if arguments[number] != word or arguments[number - 1] in OPTIONS:
        return ""
    command = shlex.join(["snakemake", *arguments[:number], "--", *arguments[number:]])
    return f"\n  --configfile takes all words up to the next option for config files. If {word} is a target, put -- before it: {command}"
