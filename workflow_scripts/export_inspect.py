"""Export sampled replies as an Inspect AI log (.eval), for `inspect view`."""

import datetime
from pathlib import Path

from persona_leakage.behaviours.base import behaviour_of_result
from persona_leakage.behaviours.scoring import read_completions
from persona_leakage.config.blocks.fields import Block, Name, Slug
from persona_leakage.config.blocks.settings import PersonaSelection
from persona_leakage.config.personas import read_personas
from persona_leakage.config.program_options import new_parser
from persona_leakage.infrastructure.cli import InputError, run_program
from persona_leakage.infrastructure.files import atomic_path, check_digest, read_json


class Settings(Block):
    """The parts of the config that the log contains or depends on."""

    experiment: Slug
    questions: Name
    suffix: str
    personas: PersonaSelection


def main(argv=None):
    """Write one .eval file."""
    parser = new_parser("export_inspect", __doc__, "personas", "completions", "completions-meta", "cells", "output", settings=Settings)
    args = parser.parse_args(argv)
    try:
        from inspect_ai.log import write_eval_log

        from persona_leakage.publishing.inspect_log import make_log
    except ModuleNotFoundError as error:
        raise InputError(f"{error}; make inspect installs what envs/inspect.yaml lists") from None
    sampled, scored = read_json(args.completions_meta, "sample_completions"), read_json(args.cells, "score_leakage")["meta"]
    check_digest(args.completions, sampled["sha256"], args.completions_meta)
    behaviour = behaviour_of_result(scored)
    created = datetime.datetime.fromtimestamp(Path(args.completions).stat().st_mtime, datetime.UTC).isoformat(timespec="seconds")
    task = f"{args.settings.experiment}/{args.settings.questions}"
    log = make_log(
        read_completions(args.completions, scored["behaviour"]),
        behaviour,
        read_personas(args.personas),
        args.settings.suffix,
        sampled["meta"],
        created,
        task,
    )
    with atomic_path(args.output) as temporary:
        write_eval_log(log, str(temporary), format="eval")


if __name__ == "__main__":
    run_program(main)
