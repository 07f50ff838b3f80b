"""What all kinds of publishing share: config block, key, client version, checked files. Imports nothing heavy."""

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import check_digest, check_digests, read_json, sha256_of_file

RECORDED_IN = dict.fromkeys(("pairs.csv", "cosines.csv", "question_counts.csv"), "tables.json")


def publishing_block(config, service):
    """The config block of a service ("wandb" or "hub"); InputError if the hub's owner is missing."""
    block = config["publishing"][service]
    if service == "hub" and block["owner"] is None:
        raise InputError("publishing.hub.owner: null; give the user or organization on the hub that owns the adapters' repositories")
    return block


def read_key(variable, reason):
    """A key from the environment, the only source of keys; InputError that names the variable, and the reason, if it is not set."""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise InputError(f"{variable}: not set in the environment; {reason} needs it")
    return key


def client_version(package, target):
    """Version of an installed client library; InputError that names the make target that installs it."""
    try:
        return version(package)
    except PackageNotFoundError:
        raise InputError(f"{package} is not installed; make {target} installs the packages of envs/publishing.yaml") from None


def refusal(service, error):
    """The InputError for whatever a client library raised: its first line, and what to do."""
    reason = " ".join(f"{type(error).__name__}: {error}".split("\n")[0].split())
    return InputError(f"publishing to {service} failed ({reason}). Finished results are safe; fix this and rerun.")


def describe_files(home, paths):
    """{path relative to ``home``: {"sha256", "bytes"}}, sorted; InputError if a file is missing or differs from its record next to it."""
    described = {}
    for path in sorted(map(Path, paths)):
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        if path.name == "completions.jsonl.gz":
            record = path.with_name("completions.json")
            check_digest(path, read_json(record)["sha256"], record)
        elif path.name in RECORDED_IN or path.suffix == ".pt":
            check_digests([path], path.with_name(RECORDED_IN.get(path.name, "centroids.json")))
        described[path.relative_to(home).as_posix()] = {"sha256": sha256_of_file(path), "bytes": path.stat().st_size}
    return described
