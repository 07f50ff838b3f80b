"""Snakemake's plugin "snakemake --logger leakage", found by this folder's name; make run uses it."""

import sys
from pathlib import Path

from snakemake_interface_logger_plugins.base import LogHandlerBase


class LogHandler(LogHandlerBase):
    """Makes the library's handler.

    Every Snakemake command imports this module, also where an environment was made for another clone; so the library is imported
    only when asked for, and from the folder in which Snakemake runs.
    """

    def __new__(cls, *arguments):
        """arguments: of LogHandlerBase."""
        sys.path.insert(0, str(Path("workflow_scripts").resolve()))
        from persona_leakage.reporting import run_display

        return run_display.LogHandler(*arguments)
