"""Small files of a finished experiment, kept apart from it: copied with their digests, and held against each other later."""

import csv
import math
import shutil
from pathlib import Path

from persona_leakage.errors import InputError
from persona_leakage.files import atomic_path, read_json, sha256_of_file
from persona_leakage.publishing import describe_files

FOLDER, RECORD = "tables", "digests.json"
TOLERANCE = 1e-9  # relative: another processor may round the last bits of a number in another way


def keep_files(home, paths, folder):
    """Copy ``paths``, all under ``home``, to the same places under ``folder``; {place: {"sha256", "bytes"}}.

    What else lay in ``folder`` is removed, so it must be named FOLDER: InputError if it is not, and if a file is missing or is
    not what its own record says.
    """
    folder = Path(folder)
    if folder.name != FOLDER:
        raise InputError(f"{folder}: its other files would be removed; tables are kept in a folder named {FOLDER}")
    described = describe_files(home, paths)
    for place in described:
        with atomic_path(folder / place) as temporary:
            shutil.copyfile(Path(home) / place, temporary)
    for path in files_under(folder) - set(described):
        (folder / path).unlink()
    return described


def files_under(folder):
    """Places of the files under a folder."""
    return {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()}


def check_copies(folder):
    """How many files ``folder`` has beside its record; InputError that names the first one that is missing, changed or not listed."""
    folder = Path(folder)
    listed = read_json(folder / RECORD)["files"]
    for place, facts in listed.items():
        if not (folder / place).is_file():
            raise InputError(f"{folder / place}: no such file; {RECORD} lists it")
        if sha256_of_file(folder / place) != facts["sha256"]:
            raise InputError(f"{folder / place}: is not the file that {RECORD} describes")
    for place in sorted(files_under(folder) - {RECORD, *listed}):
        raise InputError(f"{folder / place}: {RECORD} does not list it")
    return len(listed)


def check_counts(folder, questions, seed):
    """How many lines of pairs.csv and question_counts.csv say what marker_eval.json does; InputError that names a line that does not."""
    home = Path(folder) / f"evaluation/{questions}"
    base, scores, lines = read_json(home / "base/marker_eval.json")["personas"], {}, 0
    for name in ("pairs.csv", "question_counts.csv"):
        path = Path(folder) / f"analysis/{questions}/seed{seed}/{name}"
        with path.open(encoding="utf-8", newline="") as table:
            for number, line in enumerate(csv.DictReader(table), 2):
                source = line["source"]
                if source not in scores:
                    scores[source] = read_json(home / f"{source}/seed{seed}/marker_eval.json")["personas"]
                found = {column: float(line[column]) for column in ("found", "total", "base_rate", "source_rate") if column in line}
                try:
                    scored = scores_of(line, scores[source], base)
                except KeyError as error:
                    raise InputError(f"{path}: line {number}: marker_eval.json knows no {error}") from None
                if any(value != scored[column] for column, value in found.items()):
                    raise InputError(f"{path}: line {number}: says {found}; marker_eval.json has {scored}")
                lines += 1
    return lines


def scores_of(line, personas, base):
    """What a line of either table must say of its cell, by the scores of its source and of the base model; KeyError if there is none."""
    cell = personas[line["persona"]]
    if "question" in line:
        cell = cell["per_question"][line["question"]]
        return {"found": cell["found"], "total": cell["total"]}
    rates = {"base_rate": base[line["persona"]]["rate"], "source_rate": personas[line["source"]]["rate"]}
    return {"found": cell["found"], "total": cell["total"], **rates}


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
