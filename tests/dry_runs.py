"""Dry runs by the dozen: Snakemake is imported once, and each run is a fork of that process with files of its own.

Run in a project's folder. Reads JSON lines {"files": {path: text}, "arguments": [...]} and answers each with {"output": what
``snakemake -n`` printed, "code": its exit code}. The files are as before after each.
"""

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path

import pydantic  # noqa: F401  what Snakemake and the rules import is best there before the forks
import snakemake.cli
import snakemake.workflow


@contextlib.contextmanager
def replaced(files):
    """Give files other texts for a while; new ones go again, old ones come back with their times."""
    kept = {path: (path.read_bytes(), path.stat()) for path in files if path.is_file()}
    try:
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")
        yield
    finally:
        for path in files:
            if path in kept:
                content, stat = kept[path]
                path.write_bytes(content)
                os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
            else:
                path.unlink(missing_ok=True)


def dry_run(arguments):
    """(output, exit code) of ``snakemake -n`` in a fork of this process."""
    with tempfile.TemporaryFile() as output:
        sys.stdout.flush()
        child = os.fork()
        if not child:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            code = 70
            try:
                snakemake.cli.main(["-n", *arguments, "--quiet", "rules"])
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code or 0)
        _, status = os.waitpid(child, 0)
        output.seek(0)
        return output.read().decode(), os.waitstatus_to_exitcode(status)


for line in sys.stdin:
    request = json.loads(line)
    with replaced({Path(name): text for name, text in request["files"].items()}):
        printed, code = dry_run(request["arguments"])
    print(json.dumps({"output": printed, "code": code}), flush=True)
