"""Frozen predictions: a file with digests of its content and of its table, so that any change is noticed."""

import datetime
from pathlib import Path

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import check_is_file, digest_of, plain, read_json, sha256_of_file

PROGRAM = "predict_leakage"


def seal(content, table):
    """``content`` with the time and the digest of the file ``table`` added, and a digest of the whole."""
    frozen = {**content, "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), "table_sha256": sha256_of_file(table)}
    return {**frozen, "digest": digest_of(frozen)}


def read_sealed(path, table):
    """The content of a predictions.json; InputError if it, or its table, is not as it was written."""
    content = plain(read_json(path, PROGRAM))
    digest = content.pop("digest", None)
    if digest != digest_of(content):
        raise InputError(f"{path}: changed since the predictions were frozen; restore it, or predict again before training")
    check_is_file(table)
    if content["table_sha256"] != sha256_of_file(table):
        raise InputError(f"{table}: changed since the predictions were frozen ({Path(path).name} has its digest); restore it")
    return content


def check_same(frozen, now, path):
    """InputError naming the first input that differs from what was predicted."""
    for key, value in now.items():
        if frozen["inputs"].get(key, value) != value:
            raise InputError(
                f"{path}: is for the {key} {frozen['inputs'][key]}, the results are of {value}; score the experiment that was predicted"
            )


def check_study(frozen, path):
    """InputError if a file of the study that the predictions came from has changed; missing files cannot be compared."""
    study = frozen["inputs"]["study"]
    for name, digest in study["files"].items():
        file = Path(study["folder"]) / name
        if file.is_file() and sha256_of_file(file) != digest:
            raise InputError(f"{file}: changed since {path} was frozen; restore it")
