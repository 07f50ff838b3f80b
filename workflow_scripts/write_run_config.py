"""Write down the merged config of an experiment, as it was when its results were made."""

import yaml

from persona_leakage.config.blocks.experiment import Experiment
from persona_leakage.config.program_options import new_parser
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import atomic_path
from persona_leakage.infrastructure.provenance import describe_run


def main(argv=None):
    """Write run_config.yaml: the config, versions and code commit."""
    args = new_parser("write_run_config", __doc__, "output", settings=Experiment).parse_args(argv)
    with atomic_path(args.output) as temporary:
        content = {"meta": describe_run("write_run_config"), "config": args.settings.model_dump(exclude_unset=True)}
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")


if __name__ == "__main__":
    run_program(main)
