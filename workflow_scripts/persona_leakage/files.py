"""Reading and writing result files: atomically, and byte for byte the same for the same content."""

import gzip
import hashlib
import json
import os
from contextlib import contextmanager
from pathlib import Path

from persona_leakage.errors import InputError


@contextmanager
def atomic_path(path):
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block ends well.

    A reader sees the old file or the whole new one, also when the writer is killed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path, content):
    """Write ``content`` as indented JSON; NaN and infinities are refused (ValueError)."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path):
    """Read a JSON file; InputError if it is missing or is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path}: no such file") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({error})") from None


def write_jsonl_gz(path, records):
    """Write an iterable of records as gzipped JSON lines, without a time stamp in the header."""
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as packed,
    ):
        for record in records:
            packed.write((json.dumps(record, ensure_ascii=False) + "\n").encode("utf-8"))


def read_jsonl_gz(path):
    """Read gzipped JSON lines into a list of records; InputError if the file is missing."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (EOFError, OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not whole gzipped JSON lines ({error}); delete it and run again to have it made anew") from None


def sha256_of_file(path):
    """Hex SHA-256 of a file's bytes."""
    with Path(path).open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def check_digest(path, expected, recorded_in):
    """InputError unless the file has the SHA-256 that its small sidecar ``recorded_in`` says."""
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file")
    if sha256_of_file(path) != expected:
        raise InputError(f"{path}: is not the file that {recorded_in} describes; delete both and run again to have them made anew")


def clear_temporaries(folder):
    """Remove what killed writers left behind in ``folder`` (see atomic_path)."""
    for leftover in Path(folder).glob(".*.tmp"):
        leftover.unlink()


def digest_of(value):
    """Hex SHA-256 of a JSON-serialisable value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
