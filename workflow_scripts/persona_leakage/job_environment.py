"""The environment that jobs inherit from Snakemake's own process."""

import os
import sys
from pathlib import Path


def prefer_own_python():
    """Let jobs find the Python that runs Snakemake, also when its environment is not activated.

    An environment that Snakemake activates for a job itself (conda, a container) still comes first.
    """
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
