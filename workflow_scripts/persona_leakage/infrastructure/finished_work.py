"""Outputs of finished jobs, kept under the digest of all that decides them.

Snakemake removes a job's outputs before it starts, and plans it again when one before it runs. So a job looks here first: outputs
computed already, in this or another experiment, come back without loading a model. Standard library only.
"""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import digest_of, read_json, sha256_of_file, temporary_beside, write_json, writing_to

UNUSED_DAYS = 30  # of kept work: a setting or another kind of GPU may come back
LISTING = "outputs.json"


def job_digest(job, places=None):
    """Digest of what decides a job's outputs: ``job["key"]`` (code, settings, package versions, names of the outputs) and the
    content of ``job["inputs"]``, {name: [paths]}. places: {path: where its content is for now}."""
    places = places or {}
    inputs = {name: [content_digest(places.get(path, path)) for path in paths] for name, paths in job["inputs"].items()}
    return digest_of([job["key"], inputs])


def finished_folder(store, job, places=None):
    """Where the store keeps the outputs of a job (see job_digest); FileNotFoundError if an input is not there."""
    return Path(store) / "finished" / job_digest(job, places)


def content_digest(path):
    """SHA-256 of a file; of a JSON file the digest of its content without ``meta``, which describes the run and not the result."""
    if Path(path).suffix == ".json":
        with suppress(InputError):
            content = read_json(path)
            if isinstance(content, dict):
                return digest_of({key: value for key, value in content.items() if key != "meta"})
    return sha256_of_file(path)


def restore(folder, outputs):
    """Put the outputs kept in ``folder`` in their places, as hard links where the disk can; False if they are not all there.

    A damaged file is not used: then the folder is removed, and the job computes its outputs again.
    """
    folder = Path(folder)
    if not (folder / LISTING).is_file():
        return False
    kept = kept_files(folder, outputs)
    try:
        digests = read_json(folder / LISTING)["sha256"]
        whole = [sha256_of_file(path) for path in kept] == digests
    except (InputError, OSError, KeyError, TypeError):
        whole = False
    if not whole:
        print(f"{folder}: damaged, left out", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        return False
    for path, output in zip(kept, map(Path, outputs), strict=True):
        with writing_to(output):
            output.parent.mkdir(parents=True, exist_ok=True)
            temporary = temporary_beside(output)
            link_or_copy(path, temporary)
            temporary.replace(output)
            os.utime(output)  # newer than the inputs
    with suppress(OSError):  # on a read-only disk it is used all the same
        os.utime(folder / LISTING)
    return True


def keep(folder, outputs):
    """Keep finished outputs in ``folder``, which appears whole or not at all; a write error is printed, not raised."""
    folder = Path(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_beside(folder)
        temporary.mkdir()
        for path, output in zip(kept_files(temporary, outputs), outputs, strict=True):
            link_or_copy(output, path)
        write_json(temporary / LISTING, {"outputs": outputs, "sha256": [sha256_of_file(output) for output in outputs]})
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except (OSError, InputError) as error:
        print(f"{folder}: finished work cannot be kept there ({error}); the results are in place", flush=True)


def kept_files(folder, outputs):
    """Where the outputs are in a folder of the store."""
    return [Path(folder) / f"{number}-{Path(output).name}" for number, output in enumerate(outputs)]


def link_or_copy(source, target):
    """Make ``target`` a hard link to ``source``, or a copy where the disk has no links. Results are replaced, never written in place."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def remove_unused(store, now=None):
    """Remove the folders and files two levels below ``store`` that nothing has used for UNUSED_DAYS."""
    oldest = (now or time.time()) - UNUSED_DAYS * 86400
    for entry in Path(store).glob("*/*"):
        with suppress(OSError):  # another job has removed it, or the disk is read-only
            if max(path.stat().st_mtime for path in (entry, *entry.glob("*"))) < oldest:
                if entry.is_dir():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
