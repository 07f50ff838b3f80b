"""What every way of publishing needs: its config block, its key, the files with their digests. Imports nothing heavy."""

import os
from pathlib import Path

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import check_digest, check_digests, read_json, sha256_of_file

RECORDED_IN = dict.fromkeys(("pairs.csv", "cosines.csv", "question_counts.csv"), "tables.json")


def publishing_block(config, service):
    """The config block of a service ("wandb" or "hub"); InputError if it lacks what the service cannot do without."""
    block = config["publishing"][service]
    if service == "hub" and block["owner"] is None:
        raise InputError("publishing.hub.owner: null; give the user or organisation on the hub that the adapters go to")
    return block


def read_key(variable, reason):
    """A key from the environment, the only place keys come from; InputError that names the variable if it is not set.

    reason: why it is needed, for the message.
    """
    key = os.environ.get(variable, "").strip()
    if not key:
        raise InputError(f"{variable}: not set in the environment; {reason} needs it")
    return key


def describe_files(home, paths):
    """{path relative to ``home``: {"sha256", "bytes"}} in order of the paths; InputError if one is missing or not what its record says.

    Replies, centroids and tables have their digests in a file beside them.
    """
    described = {}
    for path in sorted(map(Path, paths)):
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        if path.name == "completions.jsonl.gz":
            record = path.with_name("completions.json")
            check_digest(path, read_json(record)["sha256"], record)
        elif path.name in RECORDED_IN or path.suffix == ".pt":
            check_digests([path], path.with_name(RECORDED_IN.get(path.name, "centroids.json")))
        name = path.relative_to(home).as_posix()
        described[name] = {"sha256": sha256_of_file(path), "bytes": path.stat().st_size}
    return described


def digests_of(described):
    """{name: SHA-256} of :func:`describe_files`."""
    return {name: entry["sha256"] for name, entry in described.items()}


def in_a_line(error):
    """The first line of an error, with its kind."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
