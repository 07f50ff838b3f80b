"""Several writers of one file, and what killed ones leave behind."""

import os
import socket
import subprocess

from persona_leakage.infrastructure.files import atomic_path, clear_temporaries


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
    """As a job that outlived its workflow and the one that took its place."""
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
