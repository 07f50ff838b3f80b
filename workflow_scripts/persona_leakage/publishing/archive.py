"""Small files of a finished experiment, kept apart from it: copied with their digests, and held against each other later."""

import csv
import math
import shutil
from pathlib import Path

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import atomic_path, read_json, sha256_of_file, write_json
from persona_leakage.publishing.common import describe_files

RECORD = "digests.json"
OWN = ".digests.json"  # the same for the next call: Snakemake removes RECORD before its job
SCORED = ("found", "total", "base_rate", "source_rate", "base_reply_tokens", "source_base_reply_tokens")
TOLERANCE = 1e-9  # relative: another processor may round the last bits of a number in another way


def keep_files(home, paths, folder):
    """Copy ``paths``, all under ``home``, to the same places under ``folder``; {place: {"sha256", "bytes"}}.

    Files of an earlier copy, which its record lists, are replaced or removed. InputError if ``folder`` holds others or one that was
    changed since, and if a file to copy is missing or is not what its own record says.
    """
    folder = Path(folder)
    described = describe_files(home, paths)
    new = {place: [facts["sha256"]] for place, facts in described.items()}
    earlier = earlier_copies(folder, new)
    # Written first: what a killed job leaves is known as its own, the old copies and the new ones.
    write_json(folder / OWN, {place: earlier.get(place, []) + new.get(place, []) for place in {**earlier, **new}})
    for place in described:
        with atomic_path(folder / place) as temporary:
            shutil.copyfile(Path(home) / place, temporary)
    for place in set(earlier) - set(new):
        (folder / place).unlink()
    write_json(folder / OWN, new)
    return described


def earlier_copies(folder, new):
    """{place: [SHA-256]} of the copies that an earlier call made in ``folder``; InputError if something else is there.

    new: the same of what is to be copied now; a file with that content is no loss.
    """
    listed = read_json(folder / OWN) if (folder / OWN).is_file() else {}
    if not listed and (folder / RECORD).is_file():
        listed = {place: [facts["sha256"]] for place, facts in read_json(folder / RECORD)["files"].items()}
    found = {place: sha256_of_file(folder / place) for place in sorted(files_under(folder) - {RECORD})}
    for place, digest in found.items():
        if place not in listed and digest not in new.get(place, ()):
            raise InputError(f"{folder / place}: was not put there by this program, and is not removed; move it, or choose another folder")
        if digest not in [*listed.get(place, ()), *new.get(place, ())]:
            raise InputError(f"{folder / place}: was changed since it was copied, and is not removed; move it away, or delete it")
    return {place: [digest] for place, digest in found.items()}


def files_under(folder):
    """Places of the files under a folder, but for the workflow's OWN record."""
    return {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()} - {OWN}


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
                found = {column: float(line[column]) for column in SCORED if column in line}
                try:
                    scored = scores_of(line, scores[source], base)
                except KeyError as error:
                    raise InputError(f"{path}: line {number}: {error}") from None
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
    own, control = base[line["persona"]], base[line["source"]]
    rates = {"base_rate": own["rate"], "source_rate": personas[line["source"]]["rate"]}
    lengths = {"base_reply_tokens": own["mean_tokens"], "source_base_reply_tokens": control["mean_tokens"]}
    return {"found": cell["found"], "total": cell["total"], **rates, **lengths}


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
