"""Sampling many requests so that a kill loses little: finished replies are kept and never sampled twice."""

from pathlib import Path

from persona_leakage.inference.requests import completion_record
from persona_leakage.infrastructure.files import digest_of, read_jsonl_gz, write_jsonl_gz
from persona_leakage.infrastructure.progress import Progress
from persona_leakage.infrastructure.resume import part_path, read_parts

SUFFIX = ".jsonl.gz"
NAMED_PERSONAS = 5


def sample_missing(sample, requests, sampling, part_size, identity, store, label):
    """Sample those of ``requests`` that are not kept from earlier; returns the records (see completion_record) of all, in their order.

    Each ``part_size`` replies that finish are kept in a folder of ``store`` under the digests of everything
    they depend on: request, ``sampling`` and ``identity`` (model, adapter, engine, precision, versions,
    code). Experiments share the store. So a run that was killed, or that got another persona, question or more draws,
    samples what is missing. The outcome is that of a run from nothing, as far as the engine's replies do not depend on
    what is sampled beside them.

    sample(requests, sampling): yields a Completion for each request, in any order; called once, if a reply is missing.
    """
    shared = digest_of([identity, vars(sampling)])
    keys = {request: digest_of([shared, vars(request)]) for request in requests}
    folder = Path(store) / shared[:32]
    kept = read_parts(folder, SUFFIX, read_part, set(keys.values()))
    missing = [request for request in requests if keys[request] not in kept]
    progress = Progress(label, len(requests), "replies")
    if kept:
        progress.skip(len(kept))
        print(f"{label}: {len(kept)} of {len(requests)} replies are kept from earlier{describe(missing)}", flush=True)
    part = {}
    for number, completion in enumerate(sample(missing, sampling) if missing else (), 1):
        part[keys[completion.request]] = completion_record(completion)
        progress.advance(1)
        if len(part) == part_size or number == len(missing):
            write_jsonl_gz(part_path(folder, part, SUFFIX), map(list, sorted(part.items())))
            print(f"{label}: {number} of {len(missing)} new replies are kept", flush=True)
            kept |= part
            part = {}
    return [kept[keys[request]] for request in requests]


def read_part(path):
    """{key: record} of a part file."""
    return dict(read_jsonl_gz(path))


def describe(missing):
    """What is still to be sampled, for the log: how many replies, of whom."""
    personas = list(dict.fromkeys(request.persona for request in missing))
    if not personas:
        return ", all there is"
    whose = ", ".join(personas) if len(personas) <= NAMED_PERSONAS else f"{len(personas)} personas"
    return f"; sampling {len(missing)} of {whose}"
