"""Finished items of a long job, kept by what they depend on: a later run makes only what is missing.

An item (a reply, the hidden states of a prompt) has a key: the digest of everything that decides it.
Items lie in part files, each written whole or not at all, in a folder of the store results/.kept/, which no rule
declares, which all experiments share, and which is safe to delete when nothing runs.
"""

import os
from contextlib import suppress
from pathlib import Path

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import clear_temporaries, digest_of, writing_to


def read_parts(folder, suffix, read, wanted):
    """{key: item} of the part files of ``folder`` (made if missing), as far as ``wanted`` has the key.

    read(path): {key: item} of one part file, InputError if it is damaged; such a file is dropped, said
    so, and its items are computed again. A file that is used gets a new time, by which remove_unused knows it.
    """
    folder = Path(folder)
    with writing_to(folder / suffix):
        folder.mkdir(parents=True, exist_ok=True)
        clear_temporaries(folder)
    found = {}
    for path in sorted(folder.glob(f"*{suffix}")):
        try:
            part = {key: item for key, item in read(path).items() if key in wanted}
        except InputError as error:
            print(f"{error}: left out, its content is computed again", flush=True)
            path.unlink(missing_ok=True)
            continue
        if part:
            with suppress(OSError):  # another job has removed it, or the disk is read-only
                os.utime(path)
        found.update(part)
    return found


def part_path(folder, keys, suffix):
    """The file for a part with these keys."""
    return Path(folder) / f"{digest_of(sorted(keys))[:32]}{suffix}"
