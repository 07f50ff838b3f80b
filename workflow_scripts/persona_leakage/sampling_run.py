"""Sampling many requests in chunks that survive a kill: finished chunks are kept and never sampled twice."""

from pathlib import Path

from persona_leakage.files import clear_temporaries, digest_of, read_jsonl_gz, write_jsonl_gz
from persona_leakage.generation import completion_record
from persona_leakage.progress import Progress


def sample_in_chunks(sample, requests, sampling, chunk_size, identity, restart_folder, label):
    """Sample all ``requests``; returns their records (see completion_record) in the order of the requests.

    A chunk of ``chunk_size`` consecutive requests is one call of the engine, and lies, once done, in
    ``restart_folder`` under the digest of everything it depends on: its requests, ``sampling`` and
    ``identity`` (model, adapter, engine, precision, versions, code). A run that was killed, or that got
    one more persona, samples only the chunks that are not there. As chunks do not see each other,
    the outcome is that of an undisturbed run.

    sample(requests, sampling): yields a Completion for each request, in any order; called once a missing chunk.
    """
    folder = Path(restart_folder)
    folder.mkdir(parents=True, exist_ok=True)
    clear_temporaries(folder)
    chunks = {}
    for start in range(0, len(requests), chunk_size):
        chunk = requests[start : start + chunk_size]
        chunks[folder / f"{digest_of([identity, vars(sampling), [vars(request) for request in chunk]])}.jsonl.gz"] = chunk
    progress = Progress(label, len(requests), "replies")
    found = [path for path in chunks if path.is_file()]
    if found:
        progress.skip(sum(len(chunks[path]) for path in found))
        print(
            f"{label}: resuming, {len(found)} of {len(chunks)} chunks ({progress.skipped} of {len(requests)} replies) are done", flush=True
        )
    records = []
    for number, (path, chunk) in enumerate(chunks.items(), 1):
        if not path.is_file():
            write_jsonl_gz(path, sample_chunk(sample, chunk, sampling, progress))
            print(f"{label}: chunk {number} of {len(chunks)} is kept", flush=True)
        records += read_jsonl_gz(path)
    for leftover in set(folder.glob("*.jsonl.gz")) - set(chunks):
        leftover.unlink()
    return records


def sample_chunk(sample, chunk, sampling, progress):
    """The records of one chunk in request order, with progress as replies finish."""
    place = {request: position for position, request in enumerate(chunk)}
    records = [None] * len(chunk)
    for completion in sample(chunk, sampling):
        records[place[completion.request]] = completion_record(completion)
        progress.advance(1)
    return records
