"""Small files of a finished experiment, kept apart from it: copied with their digests, and held against each other later."""

import csv
import math
import shutil
from pathlib import Path

from persona_leakage.errors import InputError
from persona_leakage.files import atomic_path, read_json, sha256_of_file
from persona_leakage.publishing import describe_files

RECORD = "digests.json"
TOLERANCE = 1e-9  # relative: another processor may round the last bits of a number in another way


def keep_files(home, paths, folder):
    """Copy ``paths``, all under ``home``, to the same places under ``folder``; {place: {"sha256", "bytes"}}.

    What else lay in ``folder`` is removed. InputError if a file is missing or is not what its own record says.
    """
    described = describe_files(home, paths)
    shutil.rmtree(folder, ignore_errors=True)
    for place in described:
        with atomic_path(Path(folder) / place) as temporary:
            shutil.copyfile(Path(home) / place, temporary)
    return described


def check_copies(folder):
    """How many files ``folder`` has beside its record; InputError that names the first one that is missing, changed or not listed."""
    folder = Path(folder)
    listed = read_json(folder / RECORD)["files"]
    for place, facts in listed.items():
        if not (folder / place).is_file():
            raise InputError(f"{folder / place}: no such file; {RECORD} lists it")
        if sha256_of_file(folder / place) != facts["sha256"]:
            raise InputError(f"{folder / place}: is not the file that {RECORD} describes")
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in {RECORD, *listed}:
            raise InputError(f"{path}: {RECORD} does not list it")
    return len(listed)


def check_counts(folder, questions, seed):
    """How many lines of pairs.csv and question_counts.csv have the counts of marker_eval.json; InputError that names a line with others."""
    folder, lines = Path(folder), 0
    for name in ("pairs.csv", "question_counts.csv"):
        path = folder / f"analysis/{questions}/seed{seed}/{name}"
        scores = {}
        with path.open(encoding="utf-8", newline="") as table:
            for number, line in enumerate(csv.DictReader(table), 2):
                source = line["source"]
                if source not in scores:
                    scores[source] = read_json(folder / f"evaluation/{questions}/{source}/seed{seed}/marker_eval.json")["personas"]
                cell = scores[source][line["persona"]]
                cell = cell["per_question"][line["question"]] if "question" in line else cell
                if (int(line["found"]), int(line["total"])) != (cell["found"], cell["total"]):
                    scored = f"{cell['found']} of {cell['total']}"
                    raise InputError(f"{path}: line {number}: {line['found']} of {line['total']}; marker_eval.json has {scored}")
                lines += 1
    return lines


def differences(found, kept, place=""):
    """Places, as dotted keys, where two contents of JSON files differ by more than rounding; in order."""
    if isinstance(kept, dict) and isinstance(found, dict):
        for key in sorted({*found, *kept}):
            if key in found and key in kept:
                yield from differences(found[key], kept[key], f"{place}.{key}".lstrip("."))
            else:
                yield f"{place}.{key}".lstrip(".")
    elif isinstance(kept, list) and isinstance(found, list) and len(found) == len(kept):
        for number, pair in enumerate(zip(found, kept, strict=True)):
            yield from differences(*pair, f"{place}.{number}")
    elif isinstance(kept, float) and isinstance(found, float):
        if not math.isclose(found, kept, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield place
    elif found != kept:
        yield place
