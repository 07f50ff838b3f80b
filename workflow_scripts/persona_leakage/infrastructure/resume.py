"""Finished items of a long job, kept by what they depend on: a later run computes only what is missing.

An item (a reply, the hidden states of a prompt) has a key: the digest of everything that decides it. Part files are written
whole or not at all, in results/.kept/, which all experiments share and which is safe to delete when nothing runs.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import clear_temporaries, digest_of, read_jsonl_gz, write_jsonl_gz, writing_to


@dataclass(frozen=True)
class PartFormat:
    """How part files are stored: read(path) gives {key: result}, InputError if the file is damaged; write(path, {key: result})."""

    suffix: str
    read: Callable
    write: Callable


JSON_LINES = PartFormat(
    ".jsonl.gz",
    lambda path: dict(read_jsonl_gz(path)),
    lambda path, part: write_jsonl_gz(path, map(list, sorted(part.items()))),
)


def compute_missing(items, shared, store, compute, checkpoint_every, label, unit, part_format=JSON_LINES):
    """{key: result} of all ``items`` ({key: item}); those kept in ``store`` by an earlier run are not computed again.

    shared: the digest of what all keys have in common; its part files share a folder.
    compute({key: item} of the missing ones): yields {key: result} groups, in any order; called only if an item is missing.
    A part file is written as soon as ``checkpoint_every`` results are finished. label and unit are for the log.
    """
    folder = Path(store) / shared[:32]
    kept = read_parts(folder, part_format, items)
    missing = {key: item for key, item in items.items() if key not in kept}
    if kept:
        print(f"{label}: {len(kept)} of {len(items)} {unit} are kept from earlier, {len(missing)} to go", flush=True)
    part, finished = {}, 0
    for group in compute(missing) if missing else ():
        part |= group
        finished += len(group)
        if len(part) >= checkpoint_every or finished == len(missing):
            part_format.write(folder / f"{digest_of(sorted(part))[:32]}{part_format.suffix}", part)
            print(f"{label}: {finished} of {len(missing)} new {unit} are kept", flush=True)
            kept |= part
            part = {}
    return kept


def read_parts(folder, part_format, wanted):
    """{key: result} of the part files of ``folder`` (made if missing), as far as ``wanted`` has the key; a damaged file is deleted.

    A file that is used gets a new time, by which remove_unused knows it.
    """
    with writing_to(folder / part_format.suffix):
        folder.mkdir(parents=True, exist_ok=True)
        clear_temporaries(folder)
    found = {}
    for path in sorted(folder.glob(f"*{part_format.suffix}")):
        try:
            part = {key: result for key, result in part_format.read(path).items() if key in wanted}
        except InputError as error:
            print(f"{error}: left out, its content is computed again", flush=True)
            path.unlink(missing_ok=True)
            continue
        if part:
            with suppress(OSError):  # another job has removed it, or the disk is read-only
                os.utime(path)
        found.update(part)
    return found
