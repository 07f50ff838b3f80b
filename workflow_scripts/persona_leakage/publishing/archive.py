"""Small files of a finished experiment: copied with their digests, and checked later."""

import math
import shutil
from pathlib import Path

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json, sha256_of_file
from persona_leakage.publishing.common import describe_files

RECORD = "checksums.json"
TOLERANCE = 1e-9  # relative and absolute: processors may round the last bits differently


def copy_files(home, paths, folder):
    """Copy ``paths``, all under ``home``, to the same relative paths under ``folder``; returns describe_files of them.

    InputError if ``folder`` holds other files, so that nothing is removed, or if a file fails the checks of describe_files.
    """
    described = describe_files(home, paths)
    if others := unlisted(folder, described):
        raise InputError(f"{folder}: {len(others)} files are not part of this archive, first {others[0]}; move or delete them and rerun")
    for name in described:
        target = Path(folder) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(home) / name, target)
    return described


def check_copies(folder):
    """Number of files in an archive; InputError that names the first one that is missing, changed or not listed."""
    folder = Path(folder)
    listed = read_json(folder / RECORD)["files"]
    for name, facts in listed.items():
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: no such file; {RECORD} lists it")
        if sha256_of_file(folder / name) != facts["sha256"]:
            raise InputError(f"{folder / name}: its SHA-256 is not the one in {RECORD}")
    if others := unlisted(folder, listed):
        raise InputError(f"{folder / others[0]}: {RECORD} does not list it")
    return len(listed)


def unlisted(folder, listed):
    """Sorted relative paths of files under ``folder`` that are not in ``listed``, except RECORD."""
    found = {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()}
    return sorted(found - {RECORD, *listed})


def differences(new, archived, keys=()):
    """Dotted keys where two JSON contents differ by more than rounding, in order."""
    if isinstance(archived, dict) and isinstance(new, dict):
        for key in sorted({*new, *archived}):
            if key in new and key in archived:
                yield from differences(new[key], archived[key], (*keys, key))
            else:
                yield ".".join((*keys, key))
    elif isinstance(archived, list) and isinstance(new, list) and len(new) == len(archived):
        for i, pair in enumerate(zip(new, archived, strict=True)):
            yield from differences(*pair, (*keys, str(i)))
    elif isinstance(archived, float) and isinstance(new, float):
        if not math.isclose(new, archived, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield ".".join(keys)
    elif new != archived:
        yield ".".join(keys)
