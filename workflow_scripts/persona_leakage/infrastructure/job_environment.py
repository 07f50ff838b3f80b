"""The environment of Snakemake's own process and of the jobs that inherit it."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from persona_leakage.infrastructure.cli import InputError


def prefer_own_python():
    """Let jobs find the Python that runs Snakemake; an environment that Snakemake activates for a job (conda) still comes first."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def prepare_snakemake(arguments=()):
    """What must hold before Snakemake starts: a folder that it can write to, and a place for its cache.

    A home that cannot be written to (a container, a compute node) gives way to a folder of the project. InputError if
    the project's folder cannot be written to: Snakemake keeps its records there, for a dry run too.
    """
    if not os.access(".", os.W_OK):
        raise InputError(f"{Path.cwd()}: cannot be written to, and Snakemake keeps its records here; work in a copy of your own")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser(), "snakemake")
    with suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
    if not os.access(cache, os.W_OK):
        os.environ["XDG_CACHE_HOME"] = str(Path(".snakemake/cache").absolute())
