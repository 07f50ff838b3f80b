"""The folder of a fetched model, resources/models/NAME/: what the workflow put there is replaced, anything else is left alone."""

import shutil
from contextlib import contextmanager

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import digest_of, read_json, sha256_of_file, write_json
from persona_leakage.models.model_files import model_files

STAMP, INCOMING = "source.stamp", ".incoming"
OWN = {"model.json", STAMP}


@contextmanager
def home_of(home, wanted, fill):
    """Yield a folder with the files of the source ``wanted``, and move them into ``home`` if the block ends well.

    wanted: what says where the model comes from, as JSON values. fill(folder): put its files there, where part of them may be
    from a try before. That folder lies within ``home``, so the model that is there now goes only when the new one stands.
    InputError if the home holds files of other origin, or ones that were changed since.
    """
    home.mkdir(parents=True, exist_ok=True)
    wanted = digest_of(wanted)
    stamp = read_stamp(home)
    refuse_foreign(home, stamp)
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
    replace(home, stamp, incoming, wanted)


def read_stamp(home):
    """{"source": digest, "files": {name: SHA-256}} of what the workflow has put into ``home``."""
    path = home / STAMP
    if not path.is_file():
        return {"source": None, "files": {}}
    text = path.read_text(encoding="utf-8")
    if not text.startswith("{"):  # of an older version, which put the digest of the source there once it had emptied the folder
        return {"source": text, "files": {each.name: sha256_of_file(each) for each in model_files(home)}}
    return read_json(path)


def refuse_foreign(home, stamp):
    """InputError if ``home`` holds what the workflow did not put there."""
    known = {*OWN, *stamp["files"]}
    if foreign := sorted(path.name for path in home.iterdir() if path.name not in known and not path.name.startswith(".")):
        raise InputError(
            f"{home}: holds files that this workflow did not put there ({', '.join(foreign[:3])}{', ...' if len(foreign) > 3 else ''});"
            " nothing was touched. To use them set model.source: path and model.location to a folder outside resources/models;"
            " else move them away, or choose another model.name"
        )


def check_unchanged(home, digests):
    """InputError if a file in ``home`` is not the one that was put there. digests: {name: SHA-256} of what is there now."""
    for name, digest in read_stamp(home)["files"].items():
        if digests.get(name, digest) != digest:
            raise InputError(f"{home / name}: was changed since it was fetched; delete it to have it fetched again, or move it away")


def replace(home, stamp, incoming, wanted):
    """Put the files of ``incoming`` in the place of those that the stamp lists; the old ones must still be what was put there."""
    for name, digest in stamp["files"].items():
        if (home / name).is_file() and sha256_of_file(home / name) != digest:
            raise InputError(
                f"{home / name}: was changed since it was fetched, and is not deleted; move it away, or choose another model.name"
            )
    for name in stamp["files"]:
        (home / name).unlink(missing_ok=True)
    files = {path.name: sha256_of_file(path) for path in sorted(incoming.iterdir()) if path.is_file()}
    # Written first: a move that is interrupted leaves files that are known as the workflow's own.
    write_json(home / STAMP, {"source": wanted, "files": files})
    for name in files:
        (incoming / name).replace(home / name)
    shutil.rmtree(home / INCOMING)
