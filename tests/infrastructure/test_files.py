"""Files that appear whole: JSON, packed lines, several writers of one file, and what killed ones leave behind."""

import errno
import gzip
import json
import os
import socket
import subprocess

import pytest

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import (
    atomic_path,
    clear_temporaries,
    digest_of,
    read_json,
    read_jsonl_gz,
    write_json,
    write_jsonl_gz,
)


def test_a_new_file_appears_whole(tmp_path):
    """Folders are made; until the block ends there is nothing at the path."""
    path = tmp_path / "new" / "folder" / "result.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("all of it")
        assert not path.exists()
        assert temporary.parent == path.parent, "a rename is atomic within one file system only"
    assert path.read_text() == "all of it"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    """And no temporary one that a later run could take for a result."""
    path = tmp_path / "result.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half way"), atomic_path(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError("half way")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("path", [".", "..", "/", "folder", "folder/", "file/under"])
def test_a_path_that_cannot_be_a_file_is_named(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=rf"^cannot write {path.rstrip('/') or '/'}: "):
        write_json(path, {})


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_or_read_only_disk_is_named_and_loses_nothing(tmp_path, monkeypatch, number):
    def refuse(descriptor):
        raise OSError(number, os.strerror(number))

    path = tmp_path / "result.json"
    write_json(path, {"rate": 0.5})
    monkeypatch.setattr(os, "fsync", refuse)
    for write in (lambda: write_json(path, {}), lambda: write_jsonl_gz(path, RECORDS)):
        with pytest.raises(InputError, match=f"^cannot write {path}: {os.strerror(number)}. Finished results are safe"):
            write()
    assert read_json(path) == {"rate": 0.5} and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_without_numbers_is_refused(tmp_path, value):
    """NaN is no JSON: other readers fail on it. The old file stays."""
    path = tmp_path / "result.json"
    write_json(path, {"rate": 0.5})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"rate": value})
    assert read_json(path) == {"rate": 0.5}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "content",
    [None, b"{", b"", b"\xff\xfe\x00", b"[" * 100_000, b"[1]", b'"text"', b"null"],
    ids=["missing", "cut", "empty", "no text", "too deep", "list", "text", "null"],
)
def test_unreadable_json_is_a_users_error(tmp_path, content):
    path = tmp_path / "result.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"result\.json"):
        read_json(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"personas": {"hero": {}}}, "has no key 'meta'; it has personas"),
        ({"meta": {"program": "correlate_leakage"}}, "is the output of correlate_leakage; expected the output of score_leakage"),
        (
            {"meta": {"program": "score_leakage"}, "layers": 1},
            r"has no key 'personas' \(the output of score_leakage\); it has meta, layers",
        ),
        ({"meta": {"program": "score_leakage"}, "personas": {}}, "has no key 'hero'; it has no keys"),
    ],
)
def test_another_result_than_expected_is_named(tmp_path, content, message):
    path = tmp_path / "result.json"
    write_json(path, content)
    with pytest.raises(InputError, match=rf"^{path}: {message}"):
        read_json(path, "score_leakage")["personas"]["hero"]


RECORDS = [{"text": "Zoë\u2028\n", "token_ids": [1, 2]}, {"text": "", "token_ids": []}]


def test_packed_lines_are_stable(tmp_path, monkeypatch):
    """The same records are the same bytes at any time and under any name: digests of them decide what is stale."""
    monkeypatch.setattr("time.time", lambda: 1e9)
    write_jsonl_gz(tmp_path / "first.jsonl.gz", RECORDS)
    monkeypatch.setattr("time.time", lambda: 2e9)
    write_jsonl_gz(tmp_path / "second.jsonl.gz", iter(RECORDS))
    assert (tmp_path / "first.jsonl.gz").read_bytes() == (tmp_path / "second.jsonl.gz").read_bytes()


def test_packed_lines_are_read_back(tmp_path):
    """Also by anything else that reads gzip and JSON; line separators inside a text are no line ends."""
    path = tmp_path / "records.jsonl.gz"
    write_jsonl_gz(path, RECORDS)
    assert read_jsonl_gz(path) == RECORDS
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")
    assert [json.loads(line) for line in lines[:-1]] == RECORDS
    assert lines[-1] == ""


def test_digest_is_that_of_the_content():
    """The order of keys is none, the order of a list is."""
    assert digest_of({"a": 1, "b": [1, 2]}) == digest_of({"b": [1, 2], "a": 1})
    assert len({digest_of(value) for value in ([1, 2], [2, 1], ["1", "2"], {"1": 2}, [[1], 2], [12])}) == 6


def test_writers_of_the_same_number_on_two_hosts_do_not_meet(tmp_path, monkeypatch):
    """A lost node's job may still be writing when it is run again elsewhere."""
    temporaries = set()
    for host in ("node1", "node2"):
        monkeypatch.setattr("socket.gethostname", lambda host=host: host)
        with atomic_path(tmp_path / "result") as temporary:
            temporary.write_text(host)
            temporaries.add(temporary)
    assert len(temporaries) == 2 and [path.name for path in tmp_path.iterdir()] == ["result"]


def test_writers_of_two_processes_do_not_meet(tmp_path, monkeypatch):
    with atomic_path(tmp_path / "result") as first:
        first.write_text("first")
        monkeypatch.setattr("os.getpid", lambda: 0)
        with atomic_path(tmp_path / "result") as second:
            second.write_text("second")
        assert first.read_text() == "first"
    assert (tmp_path / "result").read_text() == "first" and [path.name for path in tmp_path.iterdir()] == ["result"]


def test_what_is_being_written_is_not_cleared_away(tmp_path):
    """Temporaries of a killed writer go; those of a living one, here or on another host, stay."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    host = socket.gethostname()
    names = [f".a.{host}.{dead.pid}.tmp", f".a.{host}.{os.getpid()}.tmp", ".a.elsewhere.1.tmp", "a.tmp"]
    for name in names:
        (tmp_path / name).touch()
    clear_temporaries(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(names[1:])


def test_the_next_writer_clears_what_a_killed_one_left(tmp_path):
    """Of its own file alone; of an adapter it is a folder."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    leftovers = [tmp_path / f".{name}.{socket.gethostname()}.{dead.pid}.tmp" for name in ("a[1]", "b", "folder")]
    leftovers[2].mkdir()
    (leftovers[2] / "weights").touch()
    for path in leftovers[:2]:
        path.touch()
    for name in ("a[1]", "folder"):
        with atomic_path(tmp_path / name) as temporary:
            temporary.touch()
    assert sorted(tmp_path.iterdir()) == sorted([leftovers[1], tmp_path / "a[1]", tmp_path / "folder"])
