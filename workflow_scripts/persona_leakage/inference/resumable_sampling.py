"""Sampling many requests so that a kill loses little: finished replies are kept and never sampled twice."""

from persona_leakage.inference.requests import completion_record
from persona_leakage.infrastructure.files import digest_of
from persona_leakage.infrastructure.progress import Progress
from persona_leakage.infrastructure.resume import compute_missing

NAMED_PERSONAS = 5


def sample_missing(sample, requests, sampling, part_size, identity, store, label):
    """Sample those of ``requests`` that are not kept from earlier; returns the records (see completion_record) of all, in their order.

    Each ``part_size`` replies that finish are kept in a folder of ``store`` under the digests of everything
    they depend on: request, ``sampling`` and ``identity`` (model, adapter, engine, precision, versions,
    code). Experiments share the store. So a run that was killed, or that got another persona, question or more draws,
    samples what is missing. The outcome is that of a run from nothing, as far as the engine's replies do not depend on
    the other replies in their batch.

    sample(requests, sampling): yields a Completion for each request, in any order; called once, if a reply is missing.
    """
    shared = digest_of([identity, vars(sampling)])
    keys = {request: digest_of([shared, vars(request)]) for request in requests}

    def compute(missing):
        progress = Progress(label, len(requests), "replies")
        progress.skip(len(requests) - len(missing))
        print(f"{label}: sampling {len(missing)} of {personas_of(missing.values())}", flush=True)
        for completion in sample(list(missing.values()), sampling):
            progress.advance(1)
            yield {keys[completion.request]: completion_record(completion)}

    items = {key: request for request, key in keys.items()}
    kept = compute_missing(items, shared, store, compute, part_size, label, "replies")
    return [kept[keys[request]] for request in requests]


def personas_of(requests):
    """Whose replies are sampled, for the log."""
    personas = list(dict.fromkeys(request.persona for request in requests))
    return ", ".join(personas) if len(personas) <= NAMED_PERSONAS else f"{len(personas)} personas"
