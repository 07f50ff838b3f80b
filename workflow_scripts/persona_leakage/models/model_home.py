"""The folder of a fetched model, resources/models/NAME/: what the workflow put there is replaced, anything else is left alone."""

import shutil
from contextlib import contextmanager

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import digest_of, read_json, sha256_of_file, write_json

STAMP, INCOMING = "source.stamp", ".incoming"
OWN = {"model.json", STAMP}


@contextmanager
def home_of(home, wanted, fill):
    """Yield a folder with the files of the source ``wanted`` (JSON values), and move them into ``home`` if the block ends well.

    fill(folder): put its files there; an interrupted attempt may have left some. That folder is within ``home``; the present model
    is removed only when the new one is complete. InputError if the home holds other files, or ones that were changed.
    """
    home.mkdir(parents=True, exist_ok=True)
    wanted = digest_of(wanted)
    stamp = read_json(home / STAMP) if (home / STAMP).is_file() else {"source": None, "files": {}}
    refuse_foreign(home, stamp["files"])
    if stamp["source"] == wanted and all((home / name).is_file() for name in stamp["files"]):
        yield home
        return
    incoming = home / INCOMING / wanted[:16]
    for other in (home / INCOMING).glob("*"):
        if other != incoming:
            shutil.rmtree(other)
    incoming.mkdir(parents=True, exist_ok=True)
    fill(incoming)
    yield incoming
    replace(home, stamp["files"], incoming, wanted)


def refuse_foreign(home, files):
    """InputError if ``home`` holds what the workflow did not put there. files: {name: SHA-256} of what it did."""
    found = [path for path in home.iterdir() if path.name not in OWN and not path.name.startswith(".")]
    if foreign := sorted(path.name for path in found if path.is_dir() or sha256_of_file(path) != files.get(path.name)):
        raise InputError(
            f"{home}: holds files that this workflow did not put there ({', '.join(foreign[:3])}{', ...' if len(foreign) > 3 else ''});"
            " nothing was touched. To use them set model.source: path and model.location to a folder outside resources/models;"
            " else move them away, or choose another model.name"
        )


def replace(home, old, incoming, wanted):
    """Put the files of ``incoming`` in the place of the ``old`` ones."""
    for name in old:
        (home / name).unlink(missing_ok=True)
    files = {path.name: sha256_of_file(path) for path in sorted(incoming.iterdir()) if path.is_file()}
    # Written first: a move that is interrupted leaves files that are known as the workflow's own.
    write_json(home / STAMP, {"source": wanted, "files": files})
    for name in files:
        (incoming / name).replace(home / name)
    shutil.rmtree(home / INCOMING)
