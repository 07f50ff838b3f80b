"""The jobs of a project one by one: the very shell command of a rule, to be killed or fed damaged files."""

import os
import re
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

from persona_leakage.infrastructure.files import sha256_of_file
from tests.conftest import project_at, warm_python

PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def job_command(project, target):
    """The shell command of the job that makes ``target``, as Snakemake runs it in ``project``, without the store of finished outputs."""
    plan = plan_of_all(project.folder, (project.folder / "config.yaml").read_text())
    for job in plan.split("\nrule ")[1:]:
        if re.search(rf"^    output: .*{re.escape(target)}", job, re.M):
            command = re.search(r"Shell command:(.*?\| tee [^\n]*)", job, re.S)[1].strip()
            return re.sub(r"python workflow_scripts/reuse_finished\.py .*?(?=python workflow_scripts/)", "", command, flags=re.S)
    raise AssertionError(plan)


@cache
def plan_of_all(folder, config):
    """What Snakemake prints of every job that ``all`` asks for, with its command, in a folder with this config."""
    return project_at(folder).run("-n", "-p", "--forceall").stdout


def start(command, folder, path=PATH):
    """Start a job's command in a process group of its own, as Snakemake's shell does; its output comes line by line."""
    return subprocess.Popen(
        ["bash", "-c", f"set -euo pipefail; {command}"],
        cwd=folder,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )


def finish(command, folder):
    """Run a job's command to its end; returns (exit code, output)."""
    process = start(command, folder, f"{warm_python().parent}{os.pathsep}{PATH}")
    output, _ = process.communicate()
    return process.returncode, output


def digests(folder, names):
    """{name: SHA-256} of files under ``folder``."""
    return {name: sha256_of_file(folder / name) for name in names}
