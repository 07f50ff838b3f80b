"""Jobs that share engines, as real processes with a stand-in for vLLM (stand_in_engine.py)."""

import os
import subprocess
import sys
from contextlib import nullcontext

import psutil

from persona_leakage.inference.requests import SamplingParams, make_requests
from persona_leakage.inference.shared_engine import take_engine
from persona_leakage.infrastructure import gpu_lease

SAMPLING = SamplingParams(1.0, 0.9, 8)
JOB = """
import json, sys
from contextlib import nullcontext
import psutil
from persona_leakage.inference import shared_engine
from persona_leakage.inference.requests import SamplingParams, make_requests
from persona_leakage.inference.shared_engine import take_engine
shared_engine.SERVER = (sys.executable, sys.argv[3])
engine = take_engine(psutil.Process(int(sys.argv[1])), json.loads(sys.argv[2]), [], None, nullcontext())
for completion in engine.sample(make_requests([("pirate", "wait", (1, 2))], 600, ("t",)), SamplingParams(1.0, 0.9, 8)):
    print(completion.finish_reason, flush=True)
"""


def stand_in_for_snakemake():
    return psutil.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)


def end(process):
    process.stdin.close()
    process.wait()


def requests(question="say", count=3):
    return make_requests([("pirate", question, (1, 2))], count, ("t",))


def take(owner, settings, adapter=None, parts=()):
    return take_engine(owner, settings, list(parts), adapter, nullcontext())


def sample(engine, **asked):
    """The replies of an engine: {(its process, the text)}."""
    return {(int(completion.finish_reason), completion.text) for completion in engine.sample(requests(**asked), SAMPLING)}


def process_of(engine):
    return psutil.Process(engine.own.process.pid)


def is_free(place):
    """Whether nobody holds the lock of a place."""
    if (lock := gpu_lease.try_lock(place)) is not None:
        os.close(lock)
    return lock is not None
