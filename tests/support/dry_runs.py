"""Many runs of Snakemake in one folder: the first imports what Snakemake needs, each later one is a fork of that process.

Reads a JSON list of arguments a line, and answers each with [exit code, what Snakemake printed].
"""

import json
import os
import sys
import tempfile
from functools import cache

import snakemake.cli
from snakemake.executors import touch

sys.path.insert(0, "workflow_scripts")
from persona_leakage.infrastructure import code_digest

touch.Executor.SLEEPING_TIME = 0  # else 0.1 s for each job that --touch accepts
# Two fifths of a dry run are digests of code. These are kept, by content; the edits of the tests change no import.
code_digest.digest_of_code = cache(code_digest.digest_of_code)


def run(arguments):
    """The exit code of Snakemake with these arguments."""
    try:
        snakemake.cli.main(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def run_in_fork(arguments):
    """The same in a fork, which reads the project's files anew."""
    child = os.fork()
    if not child:
        code = 70
        try:
            code = run(arguments)
        finally:
            os._exit(code or 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def forget_project():
    """Drop the project's other modules and all they have cached."""
    for name in [name for name in sys.modules if name.startswith("persona_leakage")]:
        if sys.modules[name] is not code_digest:
            del sys.modules[name]


def serve():
    """Answer on standard output, while Snakemake prints to a file."""
    answers = os.fdopen(os.dup(1), "w")
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
        for number, line in enumerate(sys.stdin):
            printed.seek(0)
            printed.truncate()
            code = (run_in_fork if number else run)(json.loads(line))
            forget_project()
            printed.seek(0)
            print(json.dumps([code, printed.read().decode()]), file=answers, flush=True)


serve()
