"""Reading and writing result files: atomically, and byte for byte the same for the same content."""

import errno
import glob
import gzip
import hashlib
import json
import os
import shutil
import socket
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path

from persona_leakage.infrastructure.cli import InputError, shorten

REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}

COMPRESSION = 4  # gzip level: 11,100 replies took 0.5 s, not the 2.1 s of level 9, in a file 8 % larger


@contextmanager
def atomic_path(path):
    """Yield a temporary path next to ``path``; rename it to ``path`` when the block succeeds, so readers see the old or the whole file.

    InputError, with the path, if the system refuses to write: full disk, quota, read-only.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(refusal(path, os.strerror(errno.EISDIR)))
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_beside(path)
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())  # or a host that loses its power may leave an empty file under the name
            temporary.replace(path)
        finally:
            with suppress(OSError):  # the reason why it cannot be removed is the one being reported
                temporary.unlink(missing_ok=True)


def temporary_beside(path):
    """This process's temporary name for ``path``; what killed writers of it left behind is removed."""
    clear_temporaries(path.parent, path.name)
    # With the host's name: on a shared file system another host's process may have the same number.
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")


@contextmanager
def writing_to(path):
    """Turn the system's refusal to write ``path`` into an InputError that names it and what to do; errors of other files pass."""
    try:
        yield
    except OSError as error:
        elsewhere = error.filename is not None and not str(error.filename).startswith(str(Path(path).parent))
        if error.errno not in REFUSALS or elsewhere:
            raise
        raise InputError(refusal(path, error.strerror)) from error


def refusal(path, reason):
    """The message for a ``path`` that cannot be written."""
    return f"cannot write {path}: {reason}. Finished results are safe; fix this and rerun."


def write_json(path, content):
    """Write ``content`` as indented JSON; NaN and infinities are refused (ValueError)."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


class MissingKeyError(InputError, KeyError):
    """A JSON object lacks a key."""

    __str__ = InputError.__str__  # KeyError would quote the message


class ReadObject(dict):
    """A JSON object from outside: looking up a key that it lacks is an InputError that names where it was read."""

    __slots__ = ("origin",)

    def __missing__(self, key):
        program = self["meta"].get("program") if isinstance(self.get("meta"), dict) else None
        made = f" (the output of {program})" if program else ""
        raise MissingKeyError(f"{self.origin}: has no key {key!r}{made}; it has {shorten(', '.join(self)) or 'no keys'}")


def parse_object(text, origin):
    """The ReadObject of a JSON text, in which every object is one; ``origin`` stands before errors. InputError for other JSON."""

    def mark(content):
        content = ReadObject(content)
        content.origin = origin
        return content

    try:
        content = json.loads(text, object_hook=mark)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{origin}: not valid JSON ({error})") from None
    if not isinstance(content, dict):
        raise InputError(f"{origin}: is {shorten(json.dumps(content), 40)}; it must be a JSON object")
    return content


def plain(content):
    """The same content without a ReadObject, which YAML's safe writer does not know."""
    return json.loads(json.dumps(content))


def check_is_file(path):
    """InputError unless ``path`` is a file that can be read more than once: no folder, pipe or device."""
    if not Path(path).is_file():
        raise InputError(f"{path}: {'is a folder, pipe or device; give a file' if Path(path).exists() else 'no such file'}")


def read_json(path, made_by=None):
    """The object in a JSON file (see ReadObject); InputError if the file is missing, holds no JSON object, or has another origin.

    made_by: the program that must have written the file, by its meta block; a tuple of them if it may be one of several.
    """
    check_is_file(path)
    try:
        content = parse_object(Path(path).read_text(encoding="utf-8"), path)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not valid JSON ({error})") from None
    programs = (made_by,) if isinstance(made_by, str) else made_by
    if made_by and (found := content["meta"]["program"]) not in programs:
        raise InputError(f"{path}: is the output of {found}; expected the output of {' or '.join(programs)}")
    return content


def write_jsonl_gz(path, records):
    """Write an iterable of records as gzipped JSON lines, without a time stamp in the header."""
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0, compresslevel=COMPRESSION) as packed,
    ):
        for record in records:
            packed.write((json.dumps(record, ensure_ascii=False) + "\n").encode("utf-8"))


def read_jsonl_gz(path):
    """Read gzipped JSON lines into a list of records; InputError if the file is missing."""
    check_is_file(path)
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            records = [json.loads(line) for line in lines]
    except (EOFError, OSError, zlib.error, UnicodeDecodeError, json.JSONDecodeError) as error:
        if getattr(error, "errno", None):  # the system's own trouble says nothing about the file
            raise
        raise InputError(f"{path}: not whole gzipped JSON lines ({error}); delete it and rerun") from None
    if not records:
        raise InputError(f"{path}: not whole gzipped JSON lines (it is empty); delete it and rerun")
    return records


def sha256_of_file(path):
    """Hex SHA-256 of a file's bytes."""
    with Path(path).open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def check_digest(path, expected, recorded_in):
    """InputError unless the file has the SHA-256 that its small sidecar ``recorded_in`` says."""
    check_is_file(path)
    if sha256_of_file(path) != expected:
        raise InputError(f"{path}: is not the file that {recorded_in} describes; restore it, or delete both and rerun")


def check_digests(paths, listing):
    """InputError unless each file has the SHA-256 that the JSON file ``listing`` has under "sha256" for its name."""
    expected = read_json(listing).get("sha256")
    for path in paths:
        if not isinstance(expected, dict) or Path(path).name not in expected:
            raise InputError(f"{listing}: does not describe a file {Path(path).name}; give the file that was written next to {path}")
        check_digest(path, expected[Path(path).name], listing)


def clear_temporaries(folder, name=None):
    """Remove what killed writers of this host left behind in ``folder`` (see atomic_path), of the file ``name`` or of all.

    What a living process is writing stays, and what another host's may be.
    """
    for leftover in Path(folder).glob(f".{'*' if name is None else glob.escape(name)}.{glob.escape(socket.gethostname())}.*.tmp"):
        if not process_lives(int(leftover.name.split(".")[-2])):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def process_lives(pid):
    """Whether a process with this id runs on this host."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def digest_of(value):
    """Hex SHA-256 of a JSON-serialisable value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
