"""Run Snakemake, with the work that is done and the time left in place of its count of steps.

No rule calls this program; `make run` does.
"""

import argparse
import sys

from persona_leakage.infrastructure.cli import run_program
from persona_leakage.reporting.snakemake_output import Planning, run_snakemake


def main(argv=None):
    """Start snakemake --configfile CONFIG with all other arguments; ends with its exit code."""
    parser = argparse.ArgumentParser(
        prog="run_workflow", description=__doc__, usage="%(prog)s --config PATH [options of snakemake]", allow_abbrev=False
    )
    parser.add_argument("--config", required=True, metavar="PATH", help="the experiment's config")
    args, others = parser.parse_known_args(argv)
    command = [sys.executable, "-m", "snakemake", "--configfile", args.config, *others]
    sys.exit(run_snakemake(command, Planning(args.config)))


if __name__ == "__main__":
    run_program(main)
